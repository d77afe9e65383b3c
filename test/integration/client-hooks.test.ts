import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// The steps of a run as hooks see them: init, prepare, (transfer,) complete, cleanup; and a run whose init, prepare or
// cleanup fails. At the end, a client of which no port can be reached from the server.

let machine: InstalledMachine;
let client: TestClient;
let tree: string;
let marks: string;
const serverHooks = '/etc/byteback/hooks';

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  client = await machine.client('web1');
  tree = join(machine.disk, 'tree');
  marks = join(machine.scratch, 'marks');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'content\n');
  await configure('');
});

afterAll(async () => {
  await machine?.dispose();
});

afterEach(async () => {
  for (const name of ['hooks', 'pre-backup.d', 'post-backup.d'])
    await rm(join(client.configDir, name), { recursive: true, force: true });
  await rm(serverHooks, { recursive: true, force: true });
  await rm(marks, { force: true });
});

const configure = (lines: string) =>
  writeFile(
    join(client.configDir, 'client.toml'),
    `destination = "byteback@127.0.0.1:"\nsource = ["${tree}"]\nretry_number = 0\n${lines}\n`,
  );

async function hook(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o755);
  return path;
}
const own = (path: string, text: string) => hook(join(client.configDir, path), text);
const mark = (name: string) =>
  `echo "${name}:$BYTEBACK_CLIENT:$BYTEBACK_STATUS:$BYTEBACK_SNAPSHOT:$BYTEBACK_RUN" >> ${marks}`;
const marked = async () => (await readFile(marks, 'utf8')).trimEnd().split('\n');
const lastRun = async () => JSON.parse(await readFile(join(client.stateDir, 'last-run.json'), 'utf8'));

describe('hooks that would do nothing', () => {
  it('are told: shell words are refused, a missing program and a file without the x bit are found before', async () => {
    await configure('before = "/bin/echo dump > /srv/all.sql"');
    const shell = await client.run('byteback-backup', '--dry-run');
    expect(shell).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('/bin/sh -c') });
    await configure('before = "/nonexistent"');
    const missing = await client.run('byteback-backup', '--dry-run');
    expect(missing).toMatchObject({ exitCode: 16, stderr: expect.stringContaining('/nonexistent cannot be run') });
    expect((await client.run('byteback', 'doctor')).stdout).toContain('/nonexistent cannot be run');
    await configure('');
    await chmod(await own('pre-backup.d/dump', 'true'), 0o644);
    await chmod(await own('hooks/after.d/tidy', 'true'), 0o644);
    for (const options of [['--dry-run'], []]) {
      const { exitCode, stderr } = await client.run('byteback-backup', ...options);
      expect(exitCode, stderr).toBe(0);
      expect(stderr).toContain('pre-backup.d/dump is passed over');
      expect(stderr).toContain('hooks/after.d/tidy is passed over');
    }
    expect((await client.run('byteback', 'doctor')).stdout).toContain('pre-backup.d/dump is passed over');
    await chmod(await hook(join(serverHooks, 'prepare.d/web1/check'), 'true'), 0o644);
    await chmod(await hook(join(serverHooks, 'complete.d/mirror'), 'true'), 0o644);
    expect((await command(['byteback', 'doctor'])).stdout).toContain('prepare.d/web1/check is passed over');
    // Each run tells of those of both steps, and of none that is switched off.
    await hook(join(serverHooks, 'prepare.d/idle.off'), 'true');
    const { exitCode } = await client.run('byteback-backup');
    expect(exitCode).toBe(0);
    const events = (await command(['byteback', 'events'])).stdout;
    expect(events).toContain('prepare.d/web1/check is passed over');
    expect(events).toContain('complete.d/mirror is passed over');
    expect(events).not.toContain('idle.off');
  });
});

describe('the steps of a run', () => {
  it('come one after the other, and the output of each is kept', async () => {
    await own('pre-backup.d/dump', `${mark('original before')}; echo dumped`);
    await own('hooks/before.d/10-mount', mark('before'));
    await own('hooks/after.d/10-tidy', mark('after'));
    await own('post-backup.d/report', mark('original after'));
    const line = await hook(join(machine.scratch, 'from-toml'), `${mark('$1')}`);
    await configure(`before = "${line} 'line before'"\nafter = ["${line} line"]`);
    await hook(join(serverHooks, 'prepare.d/check'), mark('prepare'));
    await hook(join(serverHooks, 'complete.d/mirror'), mark('complete'));
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    const [snapshot] = (await machine.snapshots('web1')).slice(-1);
    const { run, hooks } = await lastRun();
    expect(await marked()).toEqual([
      'original before:web1:starting::',
      'before:web1:starting::',
      'line before:web1:starting::',
      `prepare:web1:starting::${run}`,
      `complete:web1:ok:${snapshot}:${run}`,
      `line:web1:ok:${snapshot}:${run}`,
      `after:web1:ok:${snapshot}:${run}`,
      `original after:web1:ok:${snapshot}:${run}`,
    ]);
    expect(hooks.map(({ step, exitCode }: { step: string; exitCode: number }) => `${step} ${exitCode}`)).toEqual([
      ...['before 0', 'before 0', 'before 0', 'after 0', 'after 0', 'after 0'],
    ]);
    const record = JSON.parse(await readFile(`/byteback/.byteback/runs/web1/${run}.json`, 'utf8'));
    expect(record.hooks.map(({ step }: { step: string }) => step)).toEqual([
      ...['prepare', 'before', 'before', 'before', 'complete', 'after', 'after', 'after'],
    ]);
    expect(record.hooks[1].output).toBe('dumped');
    await configure('');
  });

  it('with a failing init: no run on the server, no snapshot, cleanup runs, and the server is told', async () => {
    await own('hooks/before.d/10-dump', 'echo "no space for the dump" >&2; exit 5');
    await own('hooks/before.d/20-never', mark('never'));
    await own('hooks/after.d/tidy', mark('after'));
    const runOnServer = () => readFile(`${client.place}/current/run.json`, 'utf8');
    const run = await runOnServer();
    const before = await machine.snapshots('web1');
    const { exitCode, stderr } = await client.run('byteback-backup');
    expect(exitCode).toBe(16);
    expect(stderr).toContain('10-dump exited 5: no space for the dump');
    expect(await runOnServer()).toBe(run);
    expect((await command(['byteback', 'events'])).stdout).toContain('10-dump exited 5: no space for the dump');
    expect(await machine.snapshots('web1')).toEqual(before);
    expect(await marked()).toEqual(['after:web1:failed::']);
    expect(await lastRun()).toMatchObject({
      status: 'failed',
      exitCode: 16,
      hooks: [{ exitCode: 5 }, { exitCode: 0 }],
    });
  });

  it('with a failing prepare: nothing is sent, and cleanup runs', async () => {
    await hook(join(serverHooks, 'prepare.d/no'), 'echo secret reason; exit 1');
    await own('hooks/after.d/tidy', mark('after'));
    const before = await machine.snapshots('web1');
    const { exitCode, stderr } = await client.run('byteback-backup');
    expect(exitCode).toBe(12);
    expect(stderr).toContain('refused');
    expect(stderr).not.toContain('secret');
    expect(await machine.snapshots('web1')).toEqual(before);
    expect(await marked()).toEqual(['after:web1:failed::']);
  });

  it('with a failing cleanup: the snapshot stands, and it is said', async () => {
    await own('hooks/after.d/10-umount', 'echo busy; exit 1');
    await own('hooks/after.d/20-tidy', mark('after'));
    const before = await machine.snapshots('web1');
    const { exitCode, stderr } = await client.run('byteback-backup');
    expect(exitCode).toBe(3);
    expect(stderr).toContain('10-umount exited 1: busy');
    expect(await machine.snapshots('web1')).toHaveLength(before.length + 1);
    expect(await marked()).toHaveLength(1);
  });

  it('with an init that does not end: it is ended', async () => {
    await configure('hook_timeout = "1s"');
    await own('hooks/before.d/slow', 'sleep 601 & sleep 601');
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 16 });
    expect((await command(['pgrep', '-f', '^sleep 601'])).stdout).toBe('');
    await configure('');
  });

  it('are not those of a dry run', async () => {
    await own('hooks/before.d/mark', mark('before'));
    expect(await client.run('byteback-backup', '--dry-run')).toMatchObject({ exitCode: 0 });
    await expect(marked()).rejects.toThrow('ENOENT');
  });
});

describe('a client behind a firewall', () => {
  const [server, site] = ['byteback-server', 'byteback-client'];
  let sshd: ChildProcess | undefined;

  afterAll(async () => {
    sshd?.kill();
    for (const space of [server, site]) await command(['ip', 'netns', 'del', space]);
  });

  it('is backed up and restored, though the server can reach none of its ports', async () => {
    // Two networks of their own, joined by one cable: nothing of this touches the network that the test runs in.
    for (const space of [server, site]) await must(['ip', 'netns', 'add', space]);
    await must(['ip', 'link', 'add', 'cable', 'netns', server, 'type', 'veth', 'peer', 'name', 'cable', 'netns', site]);
    for (const [space, address] of [
      [server, '10.199.7.1/30'],
      [site, '10.199.7.2/30'],
    ] as const) {
      await must(['ip', '-n', space, 'addr', 'add', address, 'dev', 'cable']);
      for (const device of ['lo', 'cable']) await must(['ip', '-n', space, 'link', 'set', device, 'up']);
    }
    const on = (space: string, ...argv: string[]) => ['ip', 'netns', 'exec', space, ...argv];
    const [program = '', ...args] = on(server, '/usr/sbin/sshd', '-D', '-e', '-p', '2222');
    sshd = spawn(program, args, { stdio: 'ignore' });
    const behind = machine.clientToBe('web2');
    const run = (...argv: string[]) => command(on(site, ...argv), { env: behind.env });
    await expect
      .poll(async () => (await run('ssh-keyscan', '-p', '2222', '10.199.7.1')).stdout, { timeout: 20_000 })
      .not.toBe('');
    const setup = await run(
      ...['byteback-setup-client', '--destination', 'byteback@10.199.7.1:', '--port', '2222', '--hostname', 'web2'],
      ...['--identity', machine.adminKey, '--accept-new', '--no-timer'],
    );
    expect(setup).toMatchObject({ exitCode: 0 });
    expect((await must(on(site, 'ss', '-Hltun'))).stdout).toBe('');
    for (const port of ['22', '80', '443', '873', '2222']) {
      const outcome = await command(on(server, 'ssh-keyscan', '-T', '3', '-p', port, '10.199.7.2'));
      expect(outcome.stdout).toBe('');
    }
    expect(await run('byteback-backup', '--source', tree)).toMatchObject({ exitCode: 0, stderr: '' });
    const to = join(machine.disk, 'restored');
    expect(await run('byteback-restore', '--restore', '--to', to, join(tree, 'file'))).toMatchObject({ exitCode: 0 });
    const { stdout } = await must(['find', to, '-type', 'f', '-name', 'file']);
    expect(await readFile(stdout.trim(), 'utf8')).toBe('content\n');
  });
});
