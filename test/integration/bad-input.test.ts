import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must, type Outcome } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// Bad input of each kind ends in an error of three lines and its own exit code, and costs nothing that was there.
let machine: InstalledMachine;
let client: TestClient;
let tree: string;

/** What happened, why (where it is known), what to do; nothing on standard output. */
function expectError(outcome: Outcome, program: string, exitCode: number, what: string | RegExp): void {
  expect(outcome.stderr).toMatch(new RegExp(`^${program}: .+\n(?:  why: .+\n(?: {7}.+\n)*)?  fix: .+\n(?: {7}.+\n)*$`));
  expect(outcome.stderr).toMatch(what);
  expect({ stdout: outcome.stdout, exitCode: outcome.exitCode }).toEqual({ stdout: '', exitCode });
}

/** Changes a file for as long as something is done. */
async function withChanged(path: string, content: string, action: () => Promise<void>): Promise<void> {
  const kept = `${path}.kept`;
  await copyFile(path, kept);
  await writeFile(path, content);
  try {
    await action();
  } finally {
    await rename(kept, path);
  }
}

beforeAll(async () => {
  machine = await installedMachine({ size: '600M' });
  tree = `${machine.disk}/tree`;
  await mkdir(tree);
  await writeFile(`${tree}/file`, 'content\n');
  client = await machine.client('web1', '--source', tree);
  expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
});

afterAll(async () => {
  await machine?.dispose();
});

const backup = (...options: string[]) => client.run('byteback-backup', '--retry-number', '0', ...options);

describe('a client', () => {
  it.each([
    ['vault', /there is no user before the host/],
    ['byteback@vault', /the colon after the host is missing/],
    ['byteback@-oProxyCommand=touch:', /no host name/],
  ])('destination %s: 2', async (destination, what) => {
    const outcome = await machine
      .clientToBe('other')
      .run('byteback-setup-client', '--destination', destination, '--no-timer');
    expectError(outcome, 'byteback-setup-client', 2, what);
  });

  it('that is not set up: 2', async () => {
    expectError(
      await machine.clientToBe('other').run('byteback-backup'),
      'byteback-backup',
      2,
      /not set up as a client/,
    );
  });

  it('a bad value in its configuration: 2, with file, line and key', async () => {
    const file = `${client.configDir}/client.toml`;
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').length;
    await withChanged(file, `${await readFile(file, 'utf8')}retry_delay = "soon"\n`, async () => {
      expectError(await backup(), 'byteback-backup', 2, new RegExp(`${file}:${lines + 1}: retry_delay = "soon"`));
    });
  });

  it('a source that is not there: 2', async () => {
    expectError(await backup('--source', `${machine.disk}/missing`), 'byteback-backup', 2, /missing/);
  });

  it('a key that the server does not know: 12', async () => {
    const key = `${client.configDir}/key`;
    await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', `${machine.scratch}/foreign`]);
    const foreign = await readFile(`${machine.scratch}/foreign`, 'utf8');
    await withChanged(key, foreign, async () => {
      await chmod(key, 0o600);
      expectError(await backup(), 'byteback-backup', 12, /cannot reach|refuse/);
    });
    await chmod(key, 0o600);
  });

  it('a server whose host key has changed: 12', async () => {
    const file = `${client.configDir}/known_hosts`;
    const known = await readFile(file, 'utf8');
    const foreign = (await readFile(`${machine.scratch}/foreign.pub`, 'utf8')).split(' ')[1] ?? '';
    await withChanged(file, known.replaceAll(/AAAA[A-Za-z0-9+/=]+/g, foreign), async () => {
      expectError(await backup(), 'byteback-backup', 12, /host key/i);
    });
  });

  it('a server that is away: 10', async () => {
    await machine.stopSshd();
    const outcome = await backup();
    await machine.startSshd();
    expectError(outcome, 'byteback-backup', 10, /cannot reach byteback@127\.0\.0\.1/);
  });

  it('more than the store can hold: 13, before anything is sent', async () => {
    // Its blocks are allocated, though nothing was written: holes would not count.
    await must(['fallocate', '--length', '800M', `${tree}/huge`]);
    const outcome = await backup();
    await rm(`${tree}/huge`);
    expectError(outcome, 'byteback-backup', 13, /the store is full/);
  });

  it('another run that goes on: 11', async () => {
    await writeFile(`${tree}/slow`, Buffer.alloc(2_000_000, 'x'));
    const first = spawn('byteback-backup', ['--bwlimit', '200'], {
      env: { ...process.env, ...client.env },
      stdio: 'ignore',
    });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const outcome = await backup();
    first.kill('SIGTERM');
    await once(first, 'close');
    await rm(`${tree}/slow`);
    expectError(outcome, 'byteback-backup', 11, /another run|is running|going on/);
  });

  it('too many snapshots in a day: 15', async () => {
    const file = '/etc/byteback/server.toml';
    await withChanged(file, `${await readFile(file, 'utf8')}\n[client.web1]\nsnapshots_per_day = 1\n`, async () => {
      expectError(await backup(), 'byteback-backup', 15, /snapshot/);
    });
  });
});

describe('a server', () => {
  it('a store that is not btrfs: 14', async () => {
    await machine.stopSshd();
    // As if this machine were none yet.
    await rename('/etc/byteback/server.toml', '/etc/byteback/server.toml.kept');
    const outcome = await command(['byteback-setup-server', '--store', machine.disk, '--yes']);
    await rename('/etc/byteback/server.toml.kept', '/etc/byteback/server.toml');
    await machine.startSshd();
    expect(outcome.exitCode).toBe(14);
    expect(outcome.stderr).toMatch(/byteback-setup-server: .*btrfs.*\n(?:.*\n)* {2}fix: /);
  });

  it('a bad value in its configuration: the settings that were good hold on, and doctor names the line', async () => {
    const file = '/etc/byteback/server.toml';
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').length;
    // Good settings are those that were last used.
    expect(await client.run('byteback-restore')).toExitWith(0);
    await withChanged(file, `${await readFile(file, 'utf8')}\n[prune]\nstart = "much"\n`, async () => {
      const status = await command(['byteback', 'status']);
      expect(status.stdout).toContain('server.toml');
      const doctor = await command(['byteback', 'doctor']);
      expect(doctor.exitCode).not.toBe(0);
      expect(doctor.stdout).toContain(`server.toml:${lines + 3}`);
      expect(await backup()).toExitWith(0);
    });
  });
});

it('nothing is lost: the history stands, and the next run is as good as ever', async () => {
  const before = await machine.snapshots('web1');
  expect(before).toHaveLength(2);
  expect(await readFile(`${client.place}/snapshots/${before[0]}/fs${tree}/file`, 'utf8')).toBe('content\n');
  expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
  expect(await machine.snapshots('web1')).toHaveLength(3);
  expect(await client.run('byteback', 'doctor')).toExitWith(0);
  expect(await command(['byteback', 'doctor'])).toExitWith(0);
});
