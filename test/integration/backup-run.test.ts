import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readLastRun } from '../../src/client/last-run.ts';
import { runBackup } from '../../src/client/run-backup.ts';
import { loadClientConfig } from '../../src/config/client-config.ts';
import { clientPaths } from '../../src/config/paths.ts';
import { BytebackError } from '../../src/errors.ts';
import { type Clock, systemClock } from '../../src/system/clock.ts';
import { silentLog } from '../../src/system/log.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// One run of a client against a real server: what is copied, what stays, and how it ends when something is wrong.
let machine: InstalledMachine;
let client: TestClient;
let tree: string;

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
});

afterAll(async () => {
  await machine?.dispose();
});

beforeEach(async () => {
  tree = `${machine.disk}/tree`;
  await rm(tree, { recursive: true, force: true });
  for (const path of ['a/one', 'a/two.o', 'b/three', 'c/four']) {
    await mkdir(`${tree}/${path.slice(0, 1)}`, { recursive: true });
    await writeFile(`${tree}/${path}`, `${path}\n`);
  }
  await configure();
});

/** Writes client.toml; the sources are all of the tree unless others are named. */
async function configure(lines = `source = ["${tree}"]`): Promise<void> {
  await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\n${lines}\n`);
}

/** Where the newest snapshot holds the tree. */
async function newest(): Promise<string> {
  return `${client.place}/snapshots/${(await machine.snapshots('web1')).at(-1)}/fs${tree}`;
}

/** The files below a directory, sorted. */
async function files(directory: string): Promise<string[]> {
  const { stdout } = await must(['find', '.', '!', '-type', 'd', '-printf', '%P\\n'], { cwd: directory });
  return stdout.split('\n').filter(Boolean).toSorted();
}

describe('what a run copies', () => {
  it('is everything, silently', async () => {
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    expect(await files(await newest())).toEqual(['a/one', 'a/two.o', 'b/three', 'c/four']);
  });

  it('loses what is newly excluded, or no source any more, with the next run of everything', async () => {
    await must([...['env', ...Object.entries(client.env).map(([k, v]) => `${k}=${v}`)], 'byteback-backup']);
    await configure(`source = ["${tree}/a", "${tree}/b"]\nexclude = ["*.o"]`);
    expect(await client.run('byteback-backup')).toExitWith(0);
    expect(await files(await newest())).toEqual(['a/one', 'b/three']);
  });

  it('keeps on the server what lies outside of a source on the command line', async () => {
    expect(await client.run('byteback-backup')).toExitWith(0);
    await writeFile(`${tree}/a/new`, 'new\n');
    await rm(`${tree}/a/one`);
    await rm(`${tree}/b/three`);
    const outcome = await client.run('byteback-backup', '--source', `${tree}/a`, '--exclude', '*.o');
    expect(outcome).toExitWith(0);
    expect(await files(await newest())).toEqual(['a/new', 'b/three', 'c/four']);
  });

  it('leaves out caches, other file systems and its own state, and says so when it is asked', async () => {
    await mkdir(`${tree}/cache/sub`, { recursive: true });
    await writeFile(`${tree}/cache/CACHEDIR.TAG`, 'Signature: 8a477f597d28d172789f06886806bc55\n');
    await writeFile(`${tree}/cache/sub/x`, Buffer.alloc(2 ** 21));
    await mkdir(`${tree}/no-cache`);
    await writeFile(`${tree}/no-cache/CACHEDIR.TAG`, 'Signature: wrong\n');
    await mkdir(`${tree}/a b*`);
    await must(['mount', '-t', 'tmpfs', 'tmpfs', `${tree}/a b*`]);
    await writeFile(`${tree}/a b*/x`, '');
    await mkdir(`${tree}/bound`);
    await must(['mount', '--bind', `${tree}/b`, `${tree}/bound`]);
    try {
      const outcome = await client.run('byteback-backup', '--verbose');
      expect(outcome).toMatchObject({ exitCode: 0, stdout: '' });
      expect(await files(await newest())).toEqual([
        'a/one',
        'a/two.o',
        'b/three',
        'c/four',
        'cache/CACHEDIR.TAG',
        'no-cache/CACHEDIR.TAG',
      ]);
      expect(await readdir(`${await newest()}/a b*`)).toEqual([]);
      expect(await readdir(`${await newest()}/bound`)).toEqual([]);
      expect(outcome.stderr).toContain(`leaving out ${tree}/a b*: tmpfs: in memory only`);
      expect(outcome.stderr).toContain(`leaving out ${tree}/bound: ext4 on /dev/loop`);
      expect(outcome.stderr).toContain(`leaving out ${tree}/cache: a cache`);
    } finally {
      await must(['umount', `${tree}/a b*`]);
      await must(['umount', `${tree}/bound`]);
    }
  });

  it('is what lies behind a link on the way to a source', async () => {
    await symlink(`${tree}/a`, `${machine.disk}/way`);
    await mkdir(`${tree}/a/deep`);
    await writeFile(`${tree}/a/deep/x`, '');
    expect(await client.run('byteback-backup', '--source', `${machine.disk}/way/deep`)).toExitWith(0);
    expect(await files(await newest())).toContain('a/deep/x');
    await rm(`${machine.disk}/way`);
  });

  it('is only told by a dry run', async () => {
    const before = await machine.snapshots('web1');
    const outcome = await client.run('byteback-backup', '--dry-run', '--json');
    expect(outcome.exitCode).toBe(0);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ dryRun: true, snapshot: null, figures: { files: 4 } });
    expect(await machine.snapshots('web1')).toEqual(before);
  });

  it('keeps large files right when their links are split and joined', async () => {
    const big = Buffer.alloc(3 * 2 ** 20, 'a');
    await writeFile(`${tree}/x`, big);
    await must(['ln', `${tree}/x`, `${tree}/y`]);
    await writeFile(`${tree}/z`, Buffer.alloc(3 * 2 ** 20, 'z'));
    expect(await client.run('byteback-backup')).toExitWith(0);
    // Split as an editor does it: a new file renamed over one of the names; the other name keeps the old content.
    await writeFile(`${tree}/new`, Buffer.alloc(3 * 2 ** 20, 'b'));
    await rename(`${tree}/new`, `${tree}/x`);
    expect(await client.run('byteback-backup')).toExitWith(0);
    const check = async () => {
      for (const name of ['x', 'y', 'z']) await must(['cmp', `${tree}/${name}`, `${await newest()}/${name}`]);
    };
    await check();
    await must(['ln', '-f', `${tree}/z`, `${tree}/y`]);
    expect(await client.run('byteback-backup')).toExitWith(0);
    await check();
    const { stdout } = await must(['stat', '-c', '%h', `${await newest()}/y`]);
    expect(stdout.trim()).toBe('2');
  });
});

describe('the rolling check', () => {
  const lateRun = async (onStep: (text: string) => void = () => undefined) => {
    const [warnings, steps]: [string[], string[]] = [[], []];
    const paths = clientPaths(client.env);
    const report = await runBackup(
      {},
      {
        config: await loadClientConfig(paths),
        paths,
        log: {
          ...silentLog,
          warn: (text) => warnings.push(text),
          step: (text) => {
            steps.push(text);
            onStep(text);
          },
        },
        // So late that all of the tree is due, and just before a full walk is.
        clock: { ...systemClock, now: () => new Date(Date.now() + 30 * 24 * 3_600_000 - 300_000) },
        signal: new AbortController().signal,
        version: 'test',
      },
    );
    return { report, warnings, checks: steps.filter((step) => /checking \d+ directories/.test(step)) };
  };

  it('looks once, before the run, where there is nothing to find', async () => {
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect(await client.run('byteback-backup', '--full')).toExitWith(0);
    // A file that changed is no finding, nor is one that is gone.
    await must([
      'sh',
      '-c',
      `echo later > ${tree}/b/three; echo > ${tree}/c/later; touch -d yesterday ${tree}/c/later`,
    ]);
    const { report, warnings, checks } = await lateRun();
    expect({ ...report, warnings }).toMatchObject({ status: 'ok', walk: null, findings: [], warnings: [] });
    expect(checks).toHaveLength(1);
    await must(['sh', '-c', `printf 'b/three\n' > ${tree}/b/three; rm ${tree}/c/later`]);
  });

  it.each([
    [
      'another content of the same size and time',
      'b/three',
      `printf 'b/THREE\n' > "$there"; touch -r "$here" "$there"`,
    ],
    ['one too many', 'c/extra', 'echo > "$there"'],
    ['one that is missing', 'b/three', 'rm "$there"'],
    ['another mode', 'b/three', `setfattr -n user.rsync.%stat -v '100777 0,0 0:0' "$there"`],
  ])('finds what nobody else sees, puts it right, and says so: %s', async (_, path, spoil) => {
    // What changes in the two seconds before a scan is sent once more with the next run, and then is no finding.
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    // The last full walk is now, however long the tests before took.
    expect(await client.run('byteback-backup', '--full')).toExitWith(0);
    expect(await client.run('byteback-backup')).toExitWith(0);
    const env = { here: `${tree}/${path}`, there: `${client.place}/current/fs${tree}/${path}` };
    // The directory around it tells nothing.
    await must(['sh', '-c', `${spoil}; touch -r "$(dirname "$here")" "$(dirname "$there")"`], { env });
    const { report, warnings, checks } = await lateRun();
    expect(report.status).toBe('ok');
    // The look before the run cannot write: the run itself checks, and puts right.
    expect(checks).toHaveLength(2);
    expect(report.findings).toEqual([env.here]);
    expect(warnings).toEqual([expect.stringContaining(env.here)]);
    const differs = await must([
      ...['rsync', '-aHAXnic', '--delete', '--numeric-ids', '--modify-window=-1', '-M--fake-super'],
      ...[`${tree}/`, `${await newest()}/`],
    ]);
    expect(differs.stdout).toBe('');
  });

  it.each([
    ['in a directory in which something else changes meanwhile', 'b/three', '', 'b'],
    ['in a directory that was renamed', 'renamed/three', 'mv "$tree/b" "$tree/renamed"', ''],
    [
      'of a file that is new here, and the server holds another one of its size and time',
      'b/new',
      'echo HERE > "$tree/b/new"; echo HELD > "$place/b/new"; touch -r "$tree/b/new" "$place/b/new"',
      '',
    ],
  ])('overlooks no other content %s', async (_, path, change, busy) => {
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect(await client.run('byteback-backup', '--full')).toExitWith(0);
    const env = { tree, place: `${client.place}/current/fs${tree}` };
    const spoil = `printf 'b/THREE\n' > "$place/b/three"; touch -r "$tree/b/three" "$place/b/three"`;
    await must(['sh', '-c', `${spoil}; ${change === '' ? ':' : change}`], { env });
    const { report, checks } = await lateRun((step) => {
      if (!step.startsWith('asking ') || busy === '') return;
      writeFileSync(`${tree}/${busy}/passing`, '');
      rmSync(`${tree}/${busy}/passing`);
    });
    expect(report.walk).toBe(null);
    expect(checks).toHaveLength(2);
    await must(['cmp', `${tree}/${path}`, `${await newest()}/${path}`]);
    await must(['cmp', `${tree}/${path.replace('new', 'three')}`, `${await newest()}/${path.replace('new', 'three')}`]);
  });
});

describe('a run that cannot be', () => {
  it.each<[string, () => Promise<string[]>, number, string]>([
    [
      'a source that does not exist',
      async () => ['--source', '/nowhere/at all'],
      2,
      'source /nowhere/at all does not exist',
    ],
    ['a source that the kernel makes', async () => ['--source', '/proc/sys'], 2, 'source /proc/sys cannot be copied'],
    ['a source that is excluded', async () => ['--exclude', `${tree}/a`, '--source', `${tree}/a`], 2, 'is excluded'],
  ])('%s', async (_, argv, exitCode, what) => {
    const before = await machine.snapshots('web1');
    const outcome = await client.run('byteback-backup', ...(await argv()));
    expect(outcome).toMatchObject({ exitCode, stdout: '' });
    expect(outcome.stderr).toContain(what);
    expect(outcome.stderr).toMatch(/^ {2}fix: /m);
    expect(await machine.snapshots('web1')).toEqual(before);
  });

  it('a second one at the same time', async () => {
    await writeFile(`${tree}/big`, Buffer.alloc(20 * 2 ** 20, 'x'));
    const first = client.run('byteback-backup', '--bwlimit', '5M');
    await untilConnected(client);
    expect(await client.run('byteback-backup')).toMatchObject({
      exitCode: 11,
      stderr: expect.stringContaining('another run is going on'),
    });
    expect(await first).toExitWith(0);
  });

  it('one that is ended by a signal: it takes rsync and ssh with it', async () => {
    await writeFile(`${tree}/big`, Buffer.alloc(50 * 2 ** 20, 'x'));
    for (const [signal, waits] of [
      ['SIGTERM', true],
      ['SIGINT', true],
      ['SIGKILL', false],
    ] as const) {
      const before = await machine.snapshots('web1');
      const child = spawn('byteback-backup', ['--bwlimit', '1M'], {
        env: { ...process.env, ...client.env },
        stdio: 'ignore',
      });
      await untilConnected(client);
      await until(
        'rsync runs',
        async () => (await command(['pgrep', '-f', 'rsync .*--rsync-path=transfer'])).exitCode === 0,
      );
      child.kill(signal);
      const [code] = await once(child, 'exit');
      expect(code).toBe(waits ? 130 : null);
      await until('no process is left', async () => (await command(['pgrep', '-f', client.configDir])).exitCode !== 0);
      if (waits) expect((await readdir(client.stateDir)).filter((name) => name.startsWith('run-'))).toEqual([]);
      expect(await machine.snapshots('web1')).toEqual(before);
    }
    // What a killed run left behind is gone after the next, which is not hindered by it.
    expect(await client.run('byteback-backup')).toExitWith(0);
    expect((await readdir(client.stateDir)).filter((name) => name.startsWith('run-'))).toEqual([]);
  });

  it('one without a server: six attempts, ten minutes apart', async () => {
    await machine.stopSshd();
    try {
      const begin = Date.parse('2026-11-20T03:00:00Z');
      let now = begin;
      const attempts: number[] = [];
      const clock: Clock = {
        now: () => new Date(now),
        sleep: async (ms) => {
          attempts.push((now - begin) / 60_000);
          now += ms;
        },
      };
      const paths = clientPaths(client.env);
      const failure = await runBackup(
        {},
        {
          config: await loadClientConfig(paths),
          paths,
          log: silentLog,
          clock,
          signal: new AbortController().signal,
          version: 'test',
        },
      ).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(BytebackError);
      expect((failure as BytebackError).exitCode).toBe(10);
      expect([...attempts, (now - begin) / 60_000]).toEqual([0, 10, 20, 30, 40, 50]);
      expect(await readLastRun(paths.lastRun)).toMatchObject({ status: 'failed', exitCode: 10, snapshot: null });
    } finally {
      await machine.startSshd();
    }
  });

  it('one with another host key, without a host key, or with a key that is not known', async () => {
    const other = machine.clientToBe('other');
    for (const [file, change, what] of [
      ['known_hosts', 'other', 'IDENTIFICATION HAS CHANGED'],
      ['known_hosts', 'none', 'Host key verification failed'],
      ['key', 'other', 'Permission denied'],
    ] as const) {
      await rm(other.configDir, { recursive: true, force: true });
      await cp(client.configDir, other.configDir, { recursive: true });
      const config = await readFile(`${other.configDir}/ssh_config`, 'utf8');
      await writeFile(`${other.configDir}/ssh_config`, config.replaceAll(client.configDir, other.configDir));
      const key = `${machine.scratch}/strange`;
      await rm(key, { force: true });
      await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
      if (file === 'key') {
        await cp(key, `${other.configDir}/key`);
        await chmod(`${other.configDir}/key`, 0o600);
      } else {
        const known = await readFile(`${other.configDir}/known_hosts`, 'utf8');
        const name = known.trim().split('\n').at(-1)?.split(' ')[0];
        const [type, blob] = (await readFile(`${key}.pub`, 'utf8')).split(' ');
        await writeFile(`${other.configDir}/known_hosts`, change === 'none' ? '' : `${name} ${type} ${blob}\n`);
      }
      const outcome = await other.run('byteback-backup');
      expect(outcome).toMatchObject({ exitCode: 12, stdout: '' });
      expect(outcome.stderr).toContain(what);
      expect(outcome.stderr).toContain('byteback-setup-client');
    }
  });

  it('one of a copied client: the server knows the machine', async () => {
    const clone = machine.clientToBe('clone');
    await cp(client.configDir, clone.configDir, { recursive: true, preserveTimestamps: true });
    await cp(client.stateDir, clone.stateDir, { recursive: true, preserveTimestamps: true });
    const before = await machine.snapshots('web1');
    const outcome = await clone.run('byteback-backup');
    expect(outcome.exitCode).toBe(12);
    expect(outcome.stderr).toContain('this is not the machine that web1 has been so far');
    expect(await machine.snapshots('web1')).toEqual(before);
    // The machine itself goes on as before.
    expect(await client.run('byteback-backup')).toExitWith(0);
  });
});

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Until the client's run holds its lock and has scanned. */
async function untilConnected({ stateDir }: TestClient): Promise<void> {
  await until(
    'a run begins',
    async () => existsSync(stateDir) && (await readdir(stateDir)).some((name) => name.startsWith('run-')),
  );
}
