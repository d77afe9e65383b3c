import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandOf, quotedIn, readAttacks } from '../../helpers/attack-table.ts';
import { command, must, type Outcome } from '../../helpers/command.ts';
import { type ForgedEntry, pullWithRules, pushForged } from '../../helpers/hostile-peer.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../../helpers/installed-machine.ts';
import { makeNastyTree } from '../../helpers/nasty-tree.ts';
import { receiverProcesses, serverState } from '../../helpers/server-state.ts';
import { type Wire, wireOf } from '../../helpers/wire.ts';

// The rows of the table that take several steps, or code that runs as the user byteback as if somebody had taken it over.

const secret = 'the payroll of somebody else';
let machine: InstalledMachine;
let alice: TestClient;
let mallory: TestClient;
let wire: Wire;
let aliceWire: Wire;
let honest: string;
let victim: string;
let snapshot: string;

const fs = () => join(mallory.place, 'current/fs');
const snapshotsDir = () => join(mallory.place, 'snapshots');
/** Code of an attacker who has taken over the receiving user, outside of any jail. */
const asByteback = (...argv: string[]) =>
  command(['setpriv', '--reuid=byteback', '--regid=byteback', '--clear-groups', '--', ...argv]);
const helper = '/usr/lib/byteback/byteback-snapshot';
const askHelper = (input: string | Uint8Array) =>
  command(['setpriv', '--reuid=byteback', '--regid=byteback', '--clear-groups', '--', 'sudo', '-n', helper], { input });
/** Everything but the attacker's own current. */
const elsewhere = { but: /\/mallory\.example\/current(?:\/|\|)/ };

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (await holds()) return;
    await wait(100);
  }
  throw new Error(`it never came to be: ${what}`);
}
const receives = async () => (await command(['pgrep', '-u', 'byteback', '-f', '^rsync --server'])).exitCode === 0;
function expectRefused({ exitCode, stderr }: Outcome, why = 'byteback: '): void {
  expect(stderr).toContain(why);
  expect([76, 12]).toContain(exitCode);
}

beforeAll(async () => {
  machine = await installedMachine({ size: '2G' });
  alice = await machine.client('alice.example');
  mallory = await machine.client('mallory.example');
  wire = wireOf(machine, mallory);
  aliceWire = wireOf(machine, alice);
  victim = join(machine.disk, 'victim');
  honest = join(machine.disk, 'honest');
  for (const path of [victim, honest]) await mkdir(path);
  await writeFile(join(victim, 'payroll.txt'), secret);
  await writeFile(join(honest, 'file'), 'mine\n');
  await aliceWire.backUp(`${victim}/`);
  snapshot = await wire.backUp(`${honest}/`);
  await must(['sed', '-i', '1i idle_timeout = "4s"', '/etc/byteback/server.toml']);
}, 300_000);

afterAll(async () => {
  await machine?.dispose();
});

/** Scenarios by row of the table; more than one row where one story tells them all. */
const scenarios: Record<string, () => Promise<void>> = {
  'CC02 complete while a push is running': async () => {
    const from = join(machine.disk, 'slow');
    await mkdir(from);
    await writeFile(join(from, 'big'), randomBytes(16_000_000));
    const run = await wire.prepare();
    const going = wire.startPush(run, `${from}/`, '--bwlimit=2m');
    const ended = once(going, 'exit');
    await until('it receives', receives);
    expect((await wire.complete(run)).exitCode).toBe(11);
    going.kill('SIGKILL');
    await ended;
    await until('the session is over', async () => (await receiverProcesses()) === '');
  },
  'CC05 a push that was killed, then complete': async () => {
    const run = await wire.prepare();
    const going = wire.startPush(run, `${join(machine.disk, 'slow')}/`, '--bwlimit=2m');
    const ended = once(going, 'exit');
    await until('it receives', receives);
    await must(['pkill', '-KILL', '-u', 'byteback', '-f', '^rsync --server']);
    await ended;
    await until('the session is over', async () => !(await receives()));
    await until('the lock is free', async () => (await wire.complete(run)).exitCode !== 11);
    expect((await wire.complete(run)).exitCode).toBe(12);
  },
  'CL02 DF12 SS02 RH06 directories planted where snapshots stand': async () => {
    // A client cannot: neither by names in a file list nor as the user itself.
    const run = await wire.prepare();
    const { messages } = await pushForged(sessionFor(run), [
      { name: '.', mode: 0o40755 },
      { name: '../../snapshots/2099-01-01T000000Z', mode: 0o40755 },
      { name: '../../../alice.example/snapshots/2099-01-01T000000Z', mode: 0o40755 },
    ]);
    expect(messages).not.toBe('');
    for (const place of [
      snapshotsDir(),
      join(alice.place, 'snapshots'),
      mallory.place,
      '/byteback',
      '/byteback/clients',
    ]) {
      expect((await asByteback('mkdir', join(place, '2099-01-01T000000Z'))).exitCode).not.toBe(0);
    }
    await aliceWire.backUp(`${victim}/`);
    // Were one there all the same, nothing would nest in it, and no name would be taken for a command.
    const planted = [join(snapshotsDir(), '2001-01-01$(touch PWNED)'), join(snapshotsDir(), '2001-01-01T000000Z')];
    const soon = new Date(Date.now() + 1000).toISOString().slice(0, 19).replaceAll(':', '');
    planted.push(join(snapshotsDir(), `${soon}Z`));
    for (const path of planted) await mkdir(path);
    const made = await wire.backUp(`${honest}/`);
    expect(made > `${soon}Z`).toBe(true);
    expect((await command(['byteback-prune', '--dry-run'])).exitCode).toBe(0);
    for (const path of planted) {
      expect((await command(['ls', '-A', path])).stdout).toBe('');
      await rm(path, { recursive: true });
    }
    expect((await command(['find', '/', '-xdev', '-maxdepth', '2', '-name', 'PWNED'])).stdout).toBe('');
  },
  'DF11 files that look like state of the server': async () => {
    const planted = join(machine.disk, 'planted');
    await mkdir(planted);
    for (const name of ['.byteback.pruning', '.disk_free_history', 'run.json', 'store.json']) {
      await writeFile(join(planted, name), '\x04\bo:\x0bObject\x00');
    }
    await wire.backUp(`${planted}/`);
    expect((await command(['byteback-prune'])).exitCode).toBe(0);
    await wire.backUp(`${honest}/`);
  },
  'DS03 a push that keeps what it replaces in another place': async () => {
    const before = await serverState(elsewhere);
    const run = await wire.prepare();
    expectRefused(
      await wire.push(run, `${honest}/`, '-M--backup', `-M--backup-dir=../../snapshots/${snapshot}/fs`),
      'not allowed',
    );
    expectRefused(await wire.push(run, `${honest}/`, '--backup', '--backup-dir=../x'), 'not allowed');
    expect(await serverState(elsewhere)).toEqual(before);
  },
  'DS04 DS05 SL05 RH04 the receiving user changes nothing but its own current': async () => {
    const before = await serverState(elsewhere);
    const place = join(snapshotsDir(), snapshot);
    for (const argv of [
      ['btrfs', 'property', 'set', '-ts', place, 'ro', 'false'],
      ['btrfs', 'property', 'set', '-f', '-ts', place, 'ro', 'false'],
      ['btrfs', 'subvolume', 'delete', place],
      ['btrfs', 'subvolume', 'snapshot', place, join(snapshotsDir(), 'x')],
      ['mv', snapshotsDir(), join(mallory.place, 'gone')],
      ['mv', join(mallory.place, 'current'), join(mallory.place, 'old')],
      ['mv', mallory.place, '/byteback/clients/other.example'],
      ['rmdir', snapshotsDir()],
      ['ln', '-s', '/etc', join(mallory.place, 'current/link')],
      ['ln', '-sfn', join(alice.place, 'current'), join(mallory.place, 'current')],
      ['touch', join(place, 'fs/new')],
      ['rm', join(place, 'fs/file')],
      ['rm', join(mallory.place, 'current/run.json')],
      ['rm', join(mallory.place, 'lock')],
      ['chmod', '777', mallory.place],
      ['mkdir', '/usr/lib/byteback/home/.ssh'],
      ['tee', '-a', '/etc/byteback/authorized_keys'],
      ['cat', '/byteback/.byteback/store.json'],
    ]) {
      expect(await asByteback(...argv), argv.join(' ')).not.toExitWith(0);
    }
    expect(await serverState(elsewhere)).toEqual(before);
  },
  'RH04 a place that is not root’s is not worked in': async () => {
    const state = JSON.parse(await readFile(join(mallory.place, 'current/run.json'), 'utf8'));
    const request = { protocol: 1, version: 't', machineId: state.machineId, expectedBytes: 0, files: 0 };
    const prepare = () => askHelper(JSON.stringify({ verb: 'prepare', client: 'mallory.example', request }));
    const current = join(mallory.place, 'current');
    const aside = '/byteback/clients/mallory.example/aside';
    await rename(current, aside);
    for (const plant of [
      ['ln', '-s', join(alice.place, 'current'), current],
      ['mkdir', current],
      ['touch', current],
    ]) {
      await must(plant);
      expect((await prepare()).exitCode).toBe(12);
      await must(['rm', '-rf', current]);
    }
    await rename(aside, current);
    await must(['chown', 'byteback', current]);
    expect((await prepare()).exitCode).toBe(12);
    await must(['chown', 'root', current]);
    expect((await prepare()).exitCode).toBe(0);
  },
  'DS07 a restore that removes what it sends': async () => {
    const to = join(machine.disk, 'out');
    expectRefused(await wire.fetch(snapshot, ['file'], `${to}/`, '--remove-source-files'), 'not allowed');
    expect((await lstat(join(snapshotsDir(), snapshot, 'fs/file'))).isFile()).toBe(true);
  },
  'FS01 FS06 devices, fifos, links, setuid and mode 0 are plain files on the server': async () => {
    const nasty = join(machine.disk, 'nasty');
    await makeNastyTree(nasty);
    await writeFile(join(nasty, 'no-rights'), 'x');
    await chmod(join(nasty, 'no-rights'), 0);
    await wire.backUp(`${nasty}/`);
    expect((await must(['find', fs(), '-not', '-type', 'f', '-not', '-type', 'd'])).stdout).toBe('');
    expect((await must(['find', fs(), '-perm', '/7000'])).stdout).toBe('');
    expect((await must(['find', fs(), '-not', '-user', 'byteback'])).stdout).toBe('');
    expect((await command(['getcap', '-r', fs()])).stdout).toBe('');
    expect((await must(['getfattr', '-Rdm', '^(trusted|security)', fs()])).stdout).toBe('');
    expect((await lstat(join(fs(), 'no-rights'))).mode & 0o600).toBe(0o600);
  },
  'FS08 nothing in the store is executed': async () => {
    const { stdout } = await must(['findmnt', '-no', 'OPTIONS', '/byteback']);
    for (const option of ['nosuid', 'nodev', 'noexec']) expect(stdout.trim().split(',')).toContain(option);
    await writeFile(join(honest, 'program'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    await wire.backUp(`${honest}/`);
    expect((await asByteback(join(fs(), 'program'))).stdout).not.toContain('ran');
  },
  'HO02 HO03 a session that is silent, and one that asks for a long patience': async () => {
    const run = await wire.prepare();
    const silent = wire.startPush(run, `${join(machine.disk, 'slow')}/`, '--bwlimit=2m', '--timeout=99999999');
    await until('it receives', receives);
    expect(await receiverProcesses()).toMatch(/rsync --server .*--timeout=4 --fake-super/);
    silent.kill('SIGSTOP');
    await until('the server ended it', async () => !(await receives()));
    silent.kill('SIGKILL');
    expect(await wire.reply('outcome', { run })).toMatchObject({ failure: { what: 'the server ended the session' } });
    // One that asks for something and then says nothing keeps no lock.
    expect(await wire.prepare()).toMatch(/^[0-9a-f]{32}$/);
  },
  'JL02 without user namespaces nothing runs, and the reason is said': async () => {
    await must(['mv', '/usr/bin/bwrap', '/usr/bin/bwrap.real']);
    try {
      for (const script of [
        '#!/bin/sh\necho "bwrap: setting up uid map: Permission denied" >&2\nexit 1\n',
        undefined,
      ]) {
        if (script === undefined) await rm('/usr/bin/bwrap');
        else await writeFile('/usr/bin/bwrap', script, { mode: 0o755 });
        const run = await wire.prepare();
        expectRefused(await wire.push(run, `${honest}/`), 'the sandbox cannot be started');
        expectRefused(
          await wire.fetch(snapshot, ['file'], `${join(machine.disk, 'out')}/`),
          'the sandbox cannot be started',
        );
        expect(await wire.reply('versions', { paths: ['/file'] })).toMatchObject({ ok: false, exit: 'refused' });
        expect((await wire.complete(run)).exitCode).toBe(12);
      }
    } finally {
      await must(['mv', '/usr/bin/bwrap.real', '/usr/bin/bwrap']);
    }
    await wire.backUp(`${honest}/`);
  },
  'RH01 the helpers take no argument, and sudo starts nothing else': async () => {
    for (const argv of [
      [helper, '--help'],
      [helper, 'mallory.example'],
      ['/bin/sh'],
      ['-u', '#0', '/usr/bin/id'],
      ['-e', '/etc/passwd'],
      ['-l', '-U', 'root', '/bin/sh'],
    ]) {
      expect(await asByteback('sudo', '-n', ...argv), argv.join(' ')).not.toExitWith(0);
    }
    expect(
      (
        await asByteback(
          'env',
          'BYTEBACK_CONFIG_DIR=/tmp',
          'NODE_OPTIONS=--require=/tmp/x.js',
          'sudo',
          '-n',
          '-E',
          helper,
        )
      ).exitCode,
    ).not.toBe(0);
  },
  'RH02 requests that are none': async () => {
    const before = await serverState();
    const request = { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 };
    const prepare = (client: unknown) => JSON.stringify({ verb: 'prepare', client, request });
    for (const input of [
      '',
      'snapshot ../alice',
      '-h',
      '{}',
      '[]',
      'null',
      '{"verb":"prepare"}',
      '{"verb":"delete","client":"mallory.example"}',
      `${prepare('mallory.example')}\n${prepare('alice.example')}`,
      `${prepare('mallory.example')}\0`,
      prepare('../alice.example'),
      prepare('alice.example/../mallory.example'),
      prepare('-h'),
      prepare(['mallory.example']),
      prepare('nobody.example'),
      JSON.stringify({ verb: 'prepare', client: 'mallory.example', request, more: 1 }),
      JSON.stringify({ verb: 'event', client: 'mallory.example', run: '../x', exitCode: 0, failure: null }),
      JSON.stringify({ verb: 'complete', client: 'mallory.example', request: { run: 'a'.repeat(32) } }),
      Buffer.alloc(3_000_000, '{'),
      Buffer.from([0xff, 0xfe]),
    ]) {
      const { exitCode, stdout } = await askHelper(input);
      expect([2, 12]).toContain(exitCode);
      expect(JSON.parse(stdout)).toMatchObject({ ok: false });
    }
    expect(await serverState()).toEqual(before);
  },
  'RO04 other sessions cannot be seen from the jail': async () => {
    // The proof that set-up and doctor run: it lists processes, tries calls of the deny-list, looks for what must be hidden.
    const { stdout } = await command(['byteback', 'doctor', '--json']);
    const { findings } = JSON.parse(stdout) as { findings: { area: string; state: string }[] };
    expect(findings.filter(({ area }) => area === 'sandbox')).toEqual([expect.objectContaining({ state: 'ok' })]);
  },
  'RO05 one key belongs to one client': async () => {
    const before = await serverState();
    const key = `${alice.configDir}/key.pub`;
    expect((await command(['byteback', 'client', 'add', 'second.example', '--key', key])).exitCode).toBe(12);
    expect(await serverState()).toEqual(before);
  },
  'SL01 no forwarding': async () => {
    const [program = '', ...ssh] = wire.sshArgv;
    expect(
      (await command([program, ...ssh, '-W', `127.0.0.1:${machine.port}`, 'byteback@127.0.0.1'])).stdout,
    ).not.toContain('SSH-2.0');
    for (const option of ['-L', '-R']) {
      const { exitCode } = await command(
        [program, ...ssh, '-N', '-o', 'ExitOnForwardFailure=yes', option, '45454:127.0.0.1:22', 'byteback@127.0.0.1'],
        {
          timeoutMs: 5000,
        },
      ).catch(() => ({ exitCode: -1 }));
      // -L listens on the client's side, and every connection through it is refused.
      if (option === '-R') expect(exitCode).not.toBe(0);
    }
    const agent = await command([program, ...ssh, '-A', '-X', 'byteback@127.0.0.1', 'ping']);
    expect(agent.exitCode).toBe(0);
  },
  'SL04 no sftp, no subsystem': async () => {
    const [program = '', ...ssh] = wire.sshArgv;
    const outcome = await command([program, ...ssh, '-s', 'byteback@127.0.0.1', 'sftp']);
    expect(outcome.exitCode).not.toBe(0);
    expect(outcome.stdout).not.toContain('OpenSSH');
  },
  'SL08 a key from elsewhere, where the admin names networks': async () => {
    await must(['sed', '-i', '$a [client."mallory.example"]\\nfrom = ["192.0.2.0/24"]', '/etc/byteback/server.toml']);
    expect(await wire.reply('ping')).toMatchObject({ ok: false, exit: 'refused' });
    await must(['sed', '-i', 's|192.0.2.0/24|127.0.0.0/8|', '/etc/byteback/server.toml']);
    expect(await wire.reply('ping')).toMatchObject({ ok: true });
  },
  'SS01 complete many times in a row': async () => {
    const before = await machine.snapshots('mallory.example');
    const run = await wire.prepare();
    await wire.push(run, `${honest}/`);
    const replies = await Promise.all(Array.from({ length: 5 }, () => wire.complete(run)));
    for (const { exitCode } of replies) expect([0, 11]).toContain(exitCode);
    for (let i = 0; i < 3; i += 1) await wire.complete(run);
    expect(await machine.snapshots('mallory.example')).toHaveLength(before.length + 1);
  },
  'TI02 TI03 TI05 FS05 names that would steer a terminal': async () => {
    const odd = join(machine.disk, 'odd');
    await mkdir(odd);
    const names = ['fake\n2026-01-01 ok', '\x1b[2Jclear', 'c1-\u009b31m', 'bidi-\u202etxt', 'bell\x07'].map((name) =>
      Buffer.from(name),
    );
    names.push(Buffer.from([0x62, 0xff, 0xfe]));
    for (const name of names) await writeFile(Buffer.concat([Buffer.from(`${odd}/`), name]), 'x');
    expect(
      await mallory.run('byteback-backup', '--source', odd, '--verbose').catch((error: Error) => error),
    ).toBeDefined();
    const first = await wire.backUp(`${odd}/`);
    const outputs = [
      await mallory.run('byteback-restore', '--all', `${odd}/`),
      await command(['byteback', 'status']),
      await command(['byteback', 'client', 'list']),
      await command(['byteback', 'client', 'show', 'mallory.example']),
      await wire.fetch(first, [...names, '../../../etc/passwd'], `${join(machine.disk, 'odd-back')}/`),
    ];
    for (const { stdout, stderr } of outputs) {
      expect(stdout + stderr).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/);
    }
    for (const name of ['\x1b[2J.example', 'a\nb', 'con\u202etxt']) {
      expect((await command(['byteback', 'client', 'invite', name])).exitCode).not.toBe(0);
    }
  },
  'WF01 a pull with rules of the peer’s own that name files of the server': async () => {
    for (const file of [join(alice.place, 'current/fs/payroll.txt'), '/etc/byteback/authorized_keys']) {
      for (const rule of [`.- ${file}`, `. ${file}`, `:- ${file}`, `: ../../../../../..${file}`]) {
        const { messages, data } = await pullWithRules(pullSession(), [rule], ['file']);
        expect(messages + data.toString('latin1')).not.toContain(secret);
        expect(messages).not.toMatch(/root:|restrict,|rule from .* line/);
      }
    }
    // The same peer with a rule that is in order gets the list of what it asked for.
    const good = await pullWithRules(pullSession(), ['- nothing'], ['file']);
    expect(good.data.toString('latin1')).toContain('file');
  },
  'WF03 a push with rules that name files of the server': async () => {
    const before = await serverState(elsewhere);
    for (const rule of [
      '. /etc/passwd',
      `.- ${join(alice.place, 'current/fs/payroll.txt')}`,
      ': ../../../etc/passwd',
    ]) {
      const run = await wire.prepare();
      const { messages } = await pushForged(sessionFor(run, '--delete'), [{ name: '.', mode: 0o40755 }], {
        rules: [rule],
      });
      expect(messages).not.toMatch(/root:|rule from .* line/);
    }
    expect((await serverState(elsewhere)).filter((line) => line.includes('alice'))).toEqual(
      before.filter((line) => line.includes('alice')),
    );
  },
  'WF06 names to restore that lead out': async () => {
    const to = join(machine.disk, 'wf06');
    await mkdir(to);
    const names = [
      '../../etc/passwd',
      '/etc/passwd',
      '../../../alice.example/current/fs/payroll.txt',
      '/byteback/clients/alice.example/current/fs/payroll.txt',
      '..',
      '/',
      '/proc/self/environ',
      '/usr/bin/true',
    ];
    const outcome = await wire.fetch(snapshot, names, `${to}/`);
    expect(outcome.stdout + outcome.stderr).not.toContain(secret);
    const { stdout } = await must(['find', to, '-type', 'f']);
    expect(stdout.split('\n').filter((path) => /passwd|payroll|environ|true/.test(path))).toEqual([]);
    for (const name of names) {
      const { data } = await pullWithRules(pullSession(), [], [name]);
      expect(data.toString('latin1')).not.toMatch(/payroll|passwd/);
    }
  },
};

/** Rows that the tests of other rooms tell, by file and name of the test. */
const toldElsewhere: Record<string, string> = {
  CL05: 'src/retention: the clock; test/integration/prune.test.ts',
  DF01: 'test/integration/receive.test.ts: a full store',
  DF02: 'test/integration/prune.test.ts: who pays',
  DF04: 'test/integration/receive.test.ts: a full store (what counts is the disk, not the wire)',
  DF05: 'test/integration/receive.test.ts: a full store',
  AT01: 'test/integration/attacks/attributes.test.ts',
  AT02: 'test/integration/attacks/attributes.test.ts',
  AT03: 'test/integration/attacks/attributes.test.ts',
  FT01: 'test/integration/attacks/forged-text.test.ts',
  FT02: 'test/integration/attacks/forged-text.test.ts',
  EX01: 'test/integration/attacks/exhaustion.test.ts',
  EX02: 'test/integration/attacks/exhaustion.test.ts',
  EX03: 'test/integration/attacks/exhaustion.test.ts',
  EX04: 'test/integration/attacks/exhaustion.test.ts',
  EX05: 'test/integration/attacks/exhaustion.test.ts',
  RE01: "test/integration/run-ends.test.ts: a client's own words",
  SP01: 'test/integration/space.test.ts: a run that is announced',
  SP02: 'test/integration/space.test.ts: a client whose word is false',
  SP03: 'test/integration/attacks/exhaustion.test.ts',
  TO01: 'test/integration/attacks/taken-over.test.ts',
  TO02: 'test/integration/attacks/taken-over.test.ts',
  TO03: 'test/integration/attacks/taken-over.test.ts',
  TO04: 'test/integration/attacks/taken-over.test.ts',
};

const session = (text: string) => [...wire.sshArgv, 'byteback@127.0.0.1', text];
const sessionFor = (run: string, ...options: string[]) =>
  session(['transfer', run, '--server', '-lHogDtpAXre.', '-@-1', '--numeric-ids', ...options, '. .'].join(' '));
const pullSession = () =>
  session(`restore ${snapshot} --server --sender -lHogDtpAXre. --numeric-ids --files-from=- --from0 . .`);

let tried = 0;
let held = 0;
describe('attacks of several steps', () => {
  afterAll(() => {
    console.log(`attacks of several steps: ${tried} tried, ${held} held`);
  });
  it.each(Object.entries(scenarios))('%s', { timeout: 200_000 }, async (_, story) => {
    tried += 1;
    await story();
    held += 1;
  });
});

describe('forged file lists', () => {
  const top: ForgedEntry = { name: '.', mode: 0o40755 };
  const file = (name: string | Buffer, more: Partial<ForgedEntry> = {}): ForgedEntry => ({
    name,
    mode: 0o100644,
    content: Buffer.from('PWNED by a peer'),
    ...more,
  });
  const lists: Record<string, ForgedEntry[]> = {
    'names with ..': [
      top,
      file('../escaped'),
      file('a/../../escaped'),
      file('../../../alice.example/current/fs/payroll.txt'),
    ],
    'absolute names': [top, file('/byteback/PWNED'), file('/tmp/PWNED'), file('/etc/cron.d/PWNED')],
    'one name twice': [
      top,
      file('twice'),
      file('twice', { content: Buffer.from('other') }),
      { name: 'twice', mode: 0o40755 },
    ],
    'a link, then files below it': [
      top,
      { name: 'way', mode: 0o120777, target: '/byteback/clients/alice.example/current/fs' },
      file('way/PWNED'),
      { name: 'up', mode: 0o120777, target: '../../../../..' },
      file('up/tmp/PWNED'),
    ],
    'forged records and attributes': [
      top,
      file('fake', {
        xattrs: { 'user.rsync.%stat': '104755 0,0 0:0', 'rsync.%stat': '104755 0,0 0:0', 'user.rsync.%aacl': 'x' },
      }),
      file('cap', {
        xattrs: { 'security.capability': '\u0001\u0000', 'trusted.x': 'y', 'system.posix_acl_access': 'z' },
      }),
    ],
    'device nodes and strange modes': [
      top,
      { name: 'sda', mode: 0o060666 },
      file('suid', { mode: 0o104777 }),
      file('odd', { mode: 0o170000 }),
    ],
    'names that are none': [
      top,
      file(''),
      file('.'),
      file('..'),
      file('a//b'),
      file('./c'),
      file('x'.repeat(300)),
      file(Buffer.from([0xff, 0x0a, 0x1b])),
    ],
  };

  it.each(Object.entries(lists))('%s: nothing outside is written', async (_, list) => {
    const before = await serverState(elsewhere);
    const run = await wire.prepare();
    await pushForged(sessionFor(run), list);
    expect(await serverState(elsewhere)).toEqual(before);
    // No file of the server's file system is more than a plain one.
    expect((await must(['find', fs(), '-not', '-type', 'f', '-not', '-type', 'd'])).stdout).toBe('');
    expect((await must(['find', fs(), '-perm', '/7000'])).stdout).toBe('');
    await rm(join(fs(), 'fake'), { force: true });
  });

  it('lists of names to work on that lead out', async () => {
    const before = await serverState(elsewhere);
    const run = await wire.prepare();
    const out = [
      '../../../alice.example/current/fs/payroll.txt',
      '/etc/passwd',
      '..',
      '',
      'a/../../b',
      '/proc/self/environ',
    ];
    const pairs = out.flatMap((path) => [path, 'stolen', 'file', path]);
    for (const [verb, names] of [
      ['separate', out],
      ['replay', pairs],
      ['replay', ['an odd number']],
      ['list', out],
      ['list', out.map((name) => `${name}/`)],
    ] as const) {
      const { exitCode, stdout } = await wire.ask(
        `${verb} ${run}${verb === 'list' ? ' named' : ''}`,
        Buffer.from(names.map((name) => `${name}\0`).join('')),
      );
      expect([0, 76]).toContain(exitCode);
      if (verb === 'list') expect(stdout.replaceAll('\0', '')).toBe('');
    }
    expect(await serverState(elsewhere)).toEqual(before);
    expect((await command(['grep', '-r', secret, fs()])).stdout).toBe('');
  });

  it('looks up nothing outside, whatever the patterns', async () => {
    for (const path of [
      '/../../../../alice.example/current/fs/payroll.txt',
      '/**/../../../**/payroll.txt',
      '/{..,.}/{..,.}/{..,.}/*',
    ]) {
      const found = await wire.ask('find', { snapshot, patterns: [path] });
      expect(found.stdout).not.toContain('payroll');
      expect((await wire.ask('changes', { from: snapshot, to: snapshot, path })).stdout).not.toContain('payroll');
    }
    const missing = '2001-01-01T000000Z';
    for (const [verb, request] of [
      ['find', { snapshot: missing, patterns: ['/*'] }],
      ['find', { snapshot: '../../alice.example/current', patterns: ['/*'] }],
      ['changes', { from: missing, to: snapshot, path: '/' }],
      ['changes', { from: snapshot, to: '../..', path: '/' }],
    ] as const) {
      expect(await wire.reply(verb, request)).toMatchObject({ ok: false });
    }
  });

  it('a peer that says something true is served', async () => {
    const run = await wire.prepare();
    const { messages } = await pushForged(sessionFor(run), [top, file('d/f'), { name: 'd', mode: 0o40700 }]);
    expect(messages).toBe('');
    expect(await readFile(join(fs(), 'd/f'), 'utf8')).toBe('PWNED by a peer');
    expect((await wire.complete(run)).exitCode).toBe(0);
  });

  it('honest backups and restores work after all of it', async () => {
    const made = await wire.backUp(`${honest}/`);
    const to = join(machine.disk, 'honest-back');
    expect(await wire.fetch(made, ['.'], `${to}/`)).toExitWith(0);
    expect(await readFile(join(to, 'file'), 'utf8')).toBe('mine\n');
    expect(await readFile(join(alice.place, 'current/fs/payroll.txt'), 'utf8')).toBe(secret);
  });
});

describe('the table', () => {
  it('has no row that is not tried', () => {
    const told = Object.keys(scenarios).flatMap((name) => name.match(/\b[A-Z]{2}\d\d\b/g) ?? []);
    const target = { me: 'm', other: 'o', snapshot: 's' };
    const untold = readAttacks().filter(
      (attack) =>
        commandOf(attack, target) === undefined &&
        quotedIn(attack, 'host name') === undefined &&
        quotedIn(attack, 'public key') === undefined &&
        !told.includes(attack.id) &&
        toldElsewhere[attack.id] === undefined,
    );
    expect(untold.map(({ id, how }) => `${id} ${how}`)).toEqual([]);
  });
});
