import { appendFile, chmod, mkdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nextElapse } from '../../src/system/systemd.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';
import { spoil } from '../helpers/spoil.ts';

// systemd is the first process here: the units run as it starts them, closed as they say, with work to do.
let machine: InstalledMachine;
let tree: string;
const mailbox = '/var/local/mailbox';
// A minute after a wake is too long for a test.
const soon = '[Service]\nEnvironment=BYTEBACK_WAIT_STEP=0.2\n';
const web1 = '/byteback/clients/web1';

async function property(unit: string, name: string): Promise<string> {
  return (await must(['systemctl', 'show', '--value', `--property=${name}`, unit])).stdout.trim();
}

/** Starts a unit, waits for its end, and gives its log of this start. */
async function start(unit: string): Promise<{ result: string; status: string; log: string }> {
  await command(['systemctl', 'start', unit]);
  const invocation = await property(unit, 'InvocationID');
  // What a program wrote last may reach the journal after its end.
  await must(['journalctl', '--sync']);
  const { stdout } = await must(['journalctl', '--no-pager', '--output=cat', `_SYSTEMD_INVOCATION_ID=${invocation}`]);
  return { result: await property(unit, 'Result'), status: await property(unit, 'ExecMainStatus'), log: stdout };
}

async function until<T>(what: () => Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 200; i += 1) {
    const found = await what();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it did not come: ${what.toString()}`);
}

const mails = () => readFile(mailbox, 'utf8').catch(() => '');
const snapshots = () => machine.snapshots('web1');

async function dropIn(unit: string, text: string): Promise<void> {
  await mkdir(`/etc/systemd/system/${unit}.d`, { recursive: true });
  await writeFile(`/etc/systemd/system/${unit}.d/test.conf`, text);
  await must(['systemctl', 'daemon-reload']);
}

beforeAll(async () => {
  await mkdir('/var/local', { recursive: true });
  await writeFile('/usr/sbin/sendmail', `#!/bin/sh\nexec cat >>${mailbox}\n`);
  await chmod('/usr/sbin/sendmail', 0o755);
  machine = await installedMachine({ size: '1G' });
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'one\n');
  await must([
    'byteback-setup-client',
    ...['--destination', 'byteback@127.0.0.1:', '--port', String(machine.port), '--identity', machine.adminKey],
    ...['--hostname', 'web1', '--accept-new', '--source', tree],
  ]);
  await mkdir('/srv/www');
  await appendFile(
    '/etc/byteback/server.toml',
    `
[prune]
start = "60%"
stop = "62%"
[page]
output = "/srv/www/index.html"
[metrics]
output = "/srv/www/byteback.prom"
[client.web1]
report = "reports@example.net"
`,
  );
  for (const unit of ['byteback-backup.service', 'byteback-drill.service']) await dropIn(unit, soon);
});

afterAll(async () => {
  await machine?.dispose();
});

describe('set-up under systemd', () => {
  it('enables the timers of a client and of a server', async () => {
    const { stdout } = await must(['systemctl', 'list-timers', '--all', '--no-legend', 'byteback-*']);
    const timers = [...stdout.matchAll(/byteback-(\w+)\.timer/g)].map(([, name]) => name).toSorted();
    expect(timers).toEqual(['backup', 'drill', 'prune', 'report', 'scrub']);
  });
});

describe('each unit does its work', () => {
  it('backup', async () => {
    expect(await start('byteback-backup.service')).toMatchObject({ result: 'success', status: '0' });
    const [snapshot] = await snapshots();
    expect(await readFile(`${web1}/snapshots/${snapshot}/fs${tree}/file`, 'utf8')).toBe('one\n');
  });

  it('report: after a run, without waiting for the timer', async () => {
    await until(async () => ((await mails()).includes('reports@example.net') ? true : undefined));
    expect(await start('byteback-report.service')).toMatchObject({ result: 'success', status: '0' });
  });

  it('report: as often as runs end', async () => {
    for (let i = 0; i < 8; i += 1) await must(['systemctl', 'start', 'byteback-report.service']);
  });

  it('drill', async () => {
    const { result, status, log } = await start('byteback-drill.service');
    expect({ result, status }, log).toEqual({ result: 'success', status: '0' });
  });

  it('scrub, slowed down by the kernel', async () => {
    const { result, status, log } = await start('byteback-scrub.service');
    expect({ result, status }, log).toEqual({ result: 'success', status: '0' });
    expect((await must(['byteback', 'scrub', '--list'])).stdout).toMatch(/\d/);
  });

  it('prune: deletes what has to go, and writes the page and the metrics', async () => {
    const held: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      await must(['dd', 'if=/dev/urandom', `of=${tree}/large`, 'bs=1M', 'count=60', 'status=none']);
      await must(['byteback-backup']);
      const newest = (await snapshots()).at(-1) ?? '';
      await must(['byteback', 'hold', 'web1', newest]);
      held.push(newest);
    }
    for (const name of held) await must(['byteback', 'release', 'web1', name]);
    const before = await snapshots();
    await rm('/srv/www/index.html', { force: true });
    const { result, status, log } = await start('byteback-prune.service');
    expect({ result, status }, log).toEqual({ result: 'success', status: '0' });
    expect(await readFile('/srv/www/index.html', 'utf8')).toContain('web1');
    expect(await readFile('/srv/www/byteback.prom', 'utf8')).toContain('byteback_');
    expect((await snapshots()).length, log).toBeLessThan(before.length);
  });

  it('scrub: names what is damaged, from inside the sandbox', async () => {
    const newest = (await snapshots()).at(-1);
    await spoil(machine.image, `${web1}/snapshots/${newest}/fs${tree}/large`);
    const { result, status, log } = await start('byteback-scrub.service');
    expect({ result, status }, log).toEqual({ result: 'success', status: '3' });
    expect(log).toContain(`${tree}/large`);
  });
});

describe('the log of a unit', () => {
  it('has priorities, the run and the client on each line', async () => {
    await writeFile(join(tree, 'file'), 'two\n');
    await start('byteback-backup.service');
    const invocation = await property('byteback-backup.service', 'InvocationID');
    const { stdout } = await must(['journalctl', '--output=json', `_SYSTEMD_INVOCATION_ID=${invocation}`]);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { MESSAGE: string; PRIORITY: string });
    const about = lines.filter(({ MESSAGE }) => /^web1 \S+: /.test(MESSAGE));
    expect(about.length).toBeGreaterThan(1);
    expect(new Set(lines.map(({ PRIORITY }) => PRIORITY))).toEqual(new Set(['6']));
  });
});

describe('what goes wrong', () => {
  it('is reported by OnFailure: in the log as an error, and to root with the end of the log', async () => {
    await machine.stopSshd();
    await dropIn('byteback-backup.service', `${soon}ExecStart=\nExecStart=/usr/bin/byteback-backup --retry-number 0\n`);
    await writeFile(mailbox, '');
    expect(await start('byteback-backup.service')).toMatchObject({ result: 'exit-code', status: '10' });
    const mail = await until(async () => {
      const text = await mails();
      return text.includes('byteback doctor') ? text : undefined;
    });
    expect(mail).toMatch(/^To: root\nSubject: byteback-backup.service failed on /m);
    expect(mail).toContain('cannot reach byteback@127.0.0.1');
    const { stdout } = await must(['journalctl', '--output=cat', '--priority=err', '-u', 'byteback-failure@*']);
    expect(stdout).toContain('byteback-backup.service failed: exit-code, exit status 10');
    await machine.startSshd();
    await dropIn('byteback-backup.service', soon);
  });
});

describe('the timers', () => {
  it('make up for a run that was missed, soon after a start', async () => {
    const stamp = '/var/lib/systemd/timers/stamp-byteback-backup.timer';
    const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000);
    await must(['systemctl', 'stop', 'byteback-backup.timer']);
    await writeFile(stamp, '');
    await utimes(stamp, twoDaysAgo, twoDaysAgo);
    await must(['systemctl', 'start', 'byteback-backup.timer']);
    const next = (await nextElapse('byteback-backup.timer'))?.getTime() ?? Number.NaN;
    expect(next - Date.now()).toBeLessThan(11 * 60_000);
    // And without the random delay, now.
    const before = (await snapshots()).length;
    await must(['systemctl', 'stop', 'byteback-backup.timer']);
    await utimes(stamp, twoDaysAgo, twoDaysAgo);
    await dropIn('byteback-backup.timer', '[Timer]\nRandomizedDelaySec=0\nAccuracySec=1s\n');
    await must(['systemctl', 'start', 'byteback-backup.timer']);
    await until(async () => ((await snapshots()).length > before ? true : undefined));
    await until(async () =>
      (await property('byteback-backup.service', 'ActiveState')) === 'inactive' ? true : undefined,
    );
  });

  it('have a minute of their own, that set-up drew', async () => {
    for (const [timer, pattern] of [
      ['backup', /OnCalendar=\*-\*-\* 0[0-5]:[0-5]\d:00 /],
      ['drill', /OnCalendar=Sun \*-\*-\* (?:09|1[0-4]):[0-5]\d:00 /],
      ['scrub', /OnCalendar=\*-\*-[0-2]\d [0-2]\d:[0-5]\d:00 /],
    ] as const) {
      const times = await property(`byteback-${timer}.timer`, 'TimersCalendar');
      expect(times).toMatch(pattern);
      expect(times.match(/OnCalendar/g)).toHaveLength(1);
    }
  });
});

describe('a run that nobody waits for', () => {
  it('waits on battery, and goes on with mains power', async () => {
    const supply = '/var/local/laptop/sys/class/power_supply/BAT0';
    await mkdir(supply, { recursive: true });
    await symlink('/proc', '/var/local/laptop/proc');
    await writeFile(`${supply}/type`, 'Battery\n');
    await writeFile(`${supply}/status`, 'Discharging\n');
    const before = (await snapshots()).length;
    await dropIn(
      'byteback-backup.service',
      `${soon}ExecCondition=\nExecCondition=/usr/lib/byteback/byteback-wait /var/local/laptop\n`,
    );
    await must(['systemctl', 'start', '--no-block', 'byteback-backup.service']);
    await until(async () => {
      const { stdout } = await must(['journalctl', '--output=cat', '-u', 'byteback-backup.service']);
      return stdout.includes('byteback waits: on battery') ? true : undefined;
    });
    expect(await snapshots()).toHaveLength(before);
    await writeFile(`${supply}/status`, 'Charging\n');
    await until(async () => ((await snapshots()).length > before ? true : undefined));
    await until(async () =>
      (await property('byteback-backup.service', 'ActiveState')) === 'inactive' ? true : undefined,
    );
    await dropIn('byteback-backup.service', soon);
  });
});

describe('the receivers', () => {
  it('run in the slice of their user, with its limits', async () => {
    const uid = (await must(['id', '-u', 'byteback'])).stdout.trim();
    await must(['dd', 'if=/dev/urandom', `of=${tree}/large`, 'bs=1M', 'count=20', 'status=none']);
    const backup = command(['byteback-backup', '--bwlimit', '8M']);
    const group = await until(async () => {
      const { stdout } = await command(['pgrep', '-u', 'byteback', '-x', 'rsync']);
      const pid = stdout.split('\n')[0];
      return pid === '' ? undefined : await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => undefined);
    });
    expect(group).toMatch(new RegExp(`/user\\.slice/user-${uid}\\.slice/session-`));
    const slice = `user-${uid}.slice`;
    expect(await property(slice, 'TasksMax')).toBe('4096');
    expect(await property(slice, 'CPUWeight')).toBe('50');
    expect(await property(slice, 'DropInPaths')).toContain('byteback.conf');
    // Where the kernel's controllers are not taken by an older hierarchy, as they are on some test machines.
    if ((await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8')).includes('pids'))
      expect(await readFile(`/sys/fs/cgroup/user.slice/${slice}/pids.max`, 'utf8')).toBe('4096\n');
    expect(await backup).toMatchObject({ exitCode: 0 });
  });
});
