import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { type MailServer, startMailServer } from '../helpers/mail-server.ts';

// Health on real disks: what a check finds is told by doctor, status, --check, metrics, page and mail.

let machine: InstalledMachine;
let web1: TestClient;
let mails: MailServer;
let toml: string;

/** What would be mailed if nothing had been told yet. A round that a run started may remember it in between: then once more. */
async function mailNow(): Promise<string> {
  let text = '';
  for (let attempt = 0; attempt < 10 && !text.includes('To: admin@x'); attempt += 1) {
    await rm('/var/spool/byteback/state.json', { force: true });
    text = (await command(['byteback', 'report', '--dry-run'])).stdout;
  }
  return text;
}

/** All six outputs, each as text. */
async function allSix(): Promise<Record<string, string>> {
  const run = async (...argv: string[]) => {
    const { stdout, stderr } = await command(argv);
    return `${stdout}\n${stderr}`;
  };
  return {
    doctor: await run('byteback', 'doctor'),
    status: await run('byteback', 'status'),
    check: await run('byteback', 'status', '--check'),
    metrics: await run('byteback', 'metrics'),
    page: await run('byteback', 'page'),
    mail: await mailNow(),
  };
}

/** Whether each of the six tells it; the metrics by the name of the check. */
function expectTold(six: Record<string, string>, words: RegExp, id: string): void {
  for (const [output, text] of Object.entries(six)) {
    const plain = text.replaceAll(/\s+/g, ' ');
    if (output === 'metrics') expect(plain, output).toContain(`byteback_finding{check="${id}"`);
    // The line of a monitor names the worst of several.
    else if (output === 'check') expect(plain, output).toMatch(/^BYTEBACK (?:CRITICAL|WARNING) /);
    else expect(plain, output).toMatch(words);
  }
}

beforeAll(async () => {
  mails = await startMailServer();
  machine = await installedMachine({ size: '1G' });
  web1 = await machine.client('web1');
  await mkdir(join(machine.disk, 'tree'));
  await writeFile(join(machine.disk, 'tree/a'), 'a');
  await writeFile(
    join(web1.configDir, 'client.toml'),
    (await readFile(join(web1.configDir, 'client.toml'), 'utf8')).concat(
      `\nsource = [${JSON.stringify(join(machine.disk, 'tree'))}]\nretry_number = 0\n`,
    ),
  );
  toml = `${await readFile('/etc/byteback/server.toml', 'utf8')}\n[mail]\nadmin = "admin@x"\nsmtp = "smtp://127.0.0.1:${mails.port}"\n`;
  await writeFile('/etc/byteback/server.toml', toml);
  expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 0 });
}, 300_000);

afterAll(async () => {
  await machine?.dispose();
  await mails?.stop();
});

test('a store that is well', async () => {
  expect(await command(['byteback', 'status', '--check'])).toMatchObject({ exitCode: 0 });
}, 60_000);

describe('the store', () => {
  test('turned read-only', async () => {
    await must(['mount', '-o', 'remount,ro', '/byteback']);
    try {
      expectTold(await allSix(), /nothing can be written in the store/, 'store-read-only');
      expect((await command(['byteback', 'status', '--check'])).exitCode).toBe(2);
    } finally {
      await must(['mount', '-o', 'remount,rw', '/byteback']);
    }
  }, 120_000);

  test('not mounted', async () => {
    await must(['umount', '/byteback']);
    try {
      expectTold(await allSix(), /the store (?:\/byteback )?is not there/, 'store-away');
    } finally {
      await must(['mount', '/byteback']);
    }
  }, 120_000);

  test('set up anew: a registered client has no place, and set-up makes it', async () => {
    await must(['mv', '/byteback/clients/web1', '/byteback/clients/.away']);
    try {
      expectTold(await allSix(), /it is registered and has no place in the store/, 'client-without-place');
      expect((await web1.run('byteback-backup')).exitCode).toBe(12);
      await must(['byteback-setup-server', '--yes']);
      await must(['byteback-backup'], { env: web1.env });
    } finally {
      await must(['mv', '/byteback/clients/web1', '/byteback/clients/.empty']);
      await must(['mv', '/byteback/clients/.away', '/byteback/clients/web1']);
    }
  }, 120_000);
});

test('a disk of a RAID1 that is missing, and one with errors', async () => {
  // The store lies on another file system for a while: two disks, of which one goes.
  const [one, two] = [join(machine.scratch, 'one.img'), join(machine.scratch, 'two.img')];
  for (const file of [one, two]) {
    await writeFile(file, '');
    await truncate(file, 300 * 1024 ** 2);
  }
  const loop = async (file: string) => (await must(['losetup', '--find', '--show', file])).stdout.trim();
  const [a, b] = [await loop(one), await loop(two)];
  await must(['mkfs.btrfs', '-q', '-d', 'raid1', '-m', 'raid1', a, b]);
  const mount = join(machine.scratch, 'raid');
  await mkdir(mount);
  await must(['mount', a, mount]);
  await must(['cp', '-a', '/byteback/.byteback', mount]);
  await must(['mkdir', join(mount, 'clients')]);
  await must(['umount', mount]);
  await must(['losetup', '-d', b]);
  await must(['btrfs', 'device', 'scan', '--forget']);
  await must(['umount', '/byteback']);
  await must(['mount', '-o', 'degraded', a, '/byteback']);
  try {
    expectTold(await allSix(), /1 of the 2 disks of the store is missing/, 'disk-missing');
  } finally {
    await must(['umount', '/byteback']);
    await must(['losetup', '-d', a]);
    await must(['mount', '/byteback']);
  }
}, 180_000);

describe('server.toml with a typo in the table of one client', () => {
  test('stops nobody, is told to the admin, and to no client', async () => {
    await writeFile('/etc/byteback/server.toml', `${toml}[client."secret-name"]\nkeep = "seven days"\n`);
    try {
      const outcome = await web1.run('byteback-backup');
      expect(outcome).toMatchObject({ exitCode: 0 });
      const list = await web1.run('byteback-restore', '--json');
      expect(list).toMatchObject({ exitCode: 0 });
      for (const { stdout, stderr } of [outcome, list]) expect(`${stdout}${stderr}`).not.toMatch(/secret-name|seven/);
      expectTold(await allSix(), /server\.toml:\d+: client\.secret-name\.keep/, 'config-bad');
      // Even without anything good from before.
      await rm('/var/lib/byteback-server', { recursive: true });
      await rm('/run/byteback', { recursive: true });
      const refused = await web1.run('byteback-backup');
      expect(refused.exitCode).toBe(12);
      expect(`${refused.stdout}${refused.stderr}`).not.toMatch(/secret-name|seven/);
    } finally {
      await writeFile('/etc/byteback/server.toml', toml);
    }
  }, 180_000);

  test('a table for nobody, and a name without quotes', async () => {
    await writeFile('/etc/byteback/server.toml', `${toml}[client.wbe1]\nweight = 2\n`);
    expectTold(await allSix(), /tables for clients that do not exist: wbe1/, 'config-strangers');
    await writeFile('/etc/byteback/server.toml', `${toml}\n[client.web1.example.net]\nweight = 2\n`);
    const line = toml.split('\n').length + 1;
    const { stdout } = await command(['byteback', 'doctor']);
    expect(stdout).toContain(`server.toml:${line}: client.web1.example.net: a name with dots needs quotes`);
    await writeFile('/etc/byteback/server.toml', toml);
  }, 180_000);
});

describe('files of the state', () => {
  test('what is held is not forgotten with holds.json', async () => {
    const [snapshot = ''] = await machine.snapshots('web1');
    await must(['byteback', 'hold', 'web1', snapshot, '--reason', 'before the move']);
    for (const spoil of [
      () => rm('/byteback/.byteback/holds.json'),
      () => writeFile('/byteback/.byteback/holds.json', ''),
    ]) {
      await spoil();
      const pruned = await command(['byteback-prune']);
      expect(pruned.exitCode).toBe(12);
      expect(`${pruned.stdout}${pruned.stderr}`).toContain(
        'cp /byteback/clients/.holds.json /byteback/.byteback/holds.json',
      );
      expectTold(await allSix(), /what is held is known from a copy only/, 'state-missing');
      expect((await command(['byteback-prune', '--list'])).stdout).toContain('before the move');
      // No backup waits for it.
      expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 0 });
      await must(['cp', '/byteback/clients/.holds.json', '/byteback/.byteback/holds.json']);
      expect(await command(['byteback-prune'])).toMatchObject({ exitCode: 0 });
    }
  }, 240_000);

  const spoilt = { torn: '{"format": 1, "cli', empty: '', random: '\u0000\u0007x]', foreign: '{"format": 1}' };
  const files = {
    'the lock of a client': '/byteback/clients/web1/lock',
    'the record of the last run': '/byteback/clients/web1/current/run.json',
    'what is known of a client': '/byteback/.byteback/clients/web1.json',
    'the ledger': '/byteback/.byteback/ledger/state.json',
    'what a scrub found': '/byteback/.byteback/bitrot.json',
    'counters of events': '/byteback/.byteback/events-counters.json',
    'the state of the mails': '/var/spool/byteback/state.json',
  };
  test.each([['gone', undefined], ...Object.entries(spoilt)])(
    'all that can be begun anew, %s: backups go on',
    async (_, content) => {
      for (const [what, file] of Object.entries(files)) {
        if (content === undefined) await rm(file, { force: true });
        else if (what !== 'the lock of a client') await writeFile(file, content);
      }
      expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
      expect((await command(['byteback-prune'])).exitCode).toBe(0);
      expect((await command(['byteback', 'status', '--json'])).exitCode).toBe(0);
    },
    120_000,
  );

  test.each([...Object.entries(spoilt), ['newer', '{"format": 9, "id": "x"}']])(
    'store.json %s: words, and a fix that works',
    async (_, content) => {
      const file = '/byteback/.byteback/store.json';
      const whole = await readFile(file, 'utf8');
      await writeFile(file, content);
      try {
        const { exitCode, stdout, stderr } = await command(['byteback-prune']);
        expect(exitCode).toBe(2);
        expect(`${stdout}${stderr}`).toMatch(/store\.json(?: is damaged)?: /);
        expect(`${stdout}${stderr}`).not.toMatch(/Unexpected|JSON input/);
      } finally {
        await writeFile(file, whole);
      }
    },
    60_000,
  );
});

test('after a jump of the clock: one command says what is wrong and mends it', async () => {
  for (const _ of [1, 2]) expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 0 });
  const before = await machine.snapshots('web1');
  const newest = before.at(-1) ?? '';
  // As if the clock had been wrong when the last ones were taken: a held one, and the one that is the newest.
  const wrong = ['2031-01-01T000000Z', '2031-01-02T000000Z'];
  const [held = '', last = ''] = before.slice(-2);
  await must(['byteback', 'hold', 'web1', held, '--reason', 'kept']);
  const place = '/byteback/clients/web1/snapshots';
  await must(['mv', join(place, held), join(place, wrong[0] ?? '')]);
  await must(['mv', join(place, last), join(place, wrong[1] ?? '')]);
  for (const file of ['/byteback/.byteback/holds.json', '/byteback/clients/.holds.json']) {
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll(held, wrong[0] ?? ''));
  }
  await writeFile('/etc/byteback/server.toml', `snapshots_per_day = ${before.length + 2}\n${toml}`);
  expectTold(await allSix(), /bear a time to come/, 'future-snapshots');
  expect((await command(['byteback-prune'])).exitCode).toBe(12);
  expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 0 });

  expect((await command(['byteback-prune', '--future'])).exitCode).toBe(2);
  expect((await machine.snapshots('web1')).filter((name) => name > '2031')).toHaveLength(3);
  const mended = await must(['byteback-prune', '--future', '--yes']);
  expect(mended.stdout).toContain('3 snapshots renamed');
  const after = await machine.snapshots('web1');
  expect(after).toHaveLength(before.length + 1);
  expect(after.filter((name) => name > '2031')).toEqual([]);
  const list = await must(['byteback-prune', '--list']);
  expect(list.stdout).toMatch(new RegExp(`${after.at(-3)}[^\\n]*kept`));
  expect(await command(['byteback-prune'])).toMatchObject({ exitCode: 0 });
  expect(await command(['byteback-prune', '--future'])).toMatchObject({ exitCode: 0 });
  expect((await must(['byteback', 'status'])).stdout).not.toMatch(/time to come|clock says/);
  // The run after it goes on where the last one ended.
  expect(await web1.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
  expect(newest).not.toBe('');
  await writeFile('/etc/byteback/server.toml', toml);
}, 240_000);
