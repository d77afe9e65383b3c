import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, lstat, mkdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// Restoring as a person does it, from three snapshots of one tree.
let machine: InstalledMachine;
let client: TestClient;
let tree = '';
/** The snapshots, oldest first. */
let names: string[] = [];
/** The tree as it was at each of them. */
const copies: string[] = [];

const restore = (...words: string[]) => client.runWith({ cwd: tree }, 'byteback-restore', ...words);
const to = (name: string) => `${machine.disk}/out-${name}`;

async function backUp(): Promise<void> {
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
  const copy = `${machine.disk}/copy${copies.length}`;
  await must(['cp', '-a', tree, copy]);
  copies.push(copy);
}

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
  await appendFile(`${client.configDir}/client.toml`, 'retry_delay = "1s"\n');
  tree = `${machine.disk}/tree`;
  await mkdir(`${tree}/deep/er`, { recursive: true });
  await writeFile(`${tree}/page`, 'first\n');
  await writeFile(`${tree}/gone`, 'only in the first\n');
  await writeFile(`${tree}/same`, 'always the same\n');
  await writeFile(`${tree}/deep/er/file`, 'deep\n');
  await symlink('/etc/passwd', `${tree}/link`);
  await must(['chown', '1000:1000', `${tree}/page`]);
  await must(['chmod', '4750', `${tree}/page`]);
  await must(['setfacl', '-m', 'u:1000:rw', `${tree}/same`]);
  await must(['chmod', '711', `${tree}/deep`]);
  await must(['mkfifo', `${tree}/deep/fifo`]);
  await backUp();
  await rm(`${tree}/gone`);
  await writeFile(`${tree}/page`, 'second page\n');
  await backUp();
  await writeFile(`${tree}/page`, 'third page\n');
  await writeFile(`${tree}/new`, 'only in the third\n');
  await must(['dd', 'if=/dev/urandom', `of=${tree}/deep/large`, 'bs=1M', 'count=60', 'status=none']);
  // Zeros for the most part, under two names.
  await must(['truncate', '--size', '8M', `${tree}/deep/er/image`]);
  await must([
    'dd',
    'if=/dev/urandom',
    `of=${tree}/deep/er/image`,
    'bs=4k',
    'seek=1000',
    'count=1',
    'conv=notrunc',
    'status=none',
  ]);
  await must(['ln', `${tree}/deep/er/image`, `${tree}/deep/image too`]);
  await backUp();
  names = await machine.snapshots('web1');
}, 300_000);
afterAll(async () => {
  await machine?.dispose();
});

describe('listing', () => {
  it('shows the newest version of each path, and what it was', async () => {
    const outcome = await restore('page', 'link', 'deep', `${tree}/same`);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    const lines = outcome.stdout.trim().split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[1]).toMatch(new RegExp(`^${names[2]}  .*  11 bytes  -rws?r-s?x?--- |^${names[2]}`));
    expect(lines[1]).toContain(`${tree}/page`);
    expect(lines[2]).toContain(`lrwxrwxrwx  root:root`);
    expect(lines[2]).toContain(`${tree}/link -> /etc/passwd`);
    expect(lines[3]).toContain('drwx--x--x');
  });

  it('shows every different version with --all, the newest first', async () => {
    const outcome = await restore('--all', '--json', 'page', 'same');
    const { versions } = JSON.parse(outcome.stdout) as {
      versions: {
        path: string;
        snapshot: string;
        since: string;
        sizeBytes: number;
        modified: string;
        mode: number;
        uid: number;
      }[];
    };
    expect(versions.map(({ snapshot, since, sizeBytes }) => [snapshot, since, sizeBytes])).toEqual([
      [names[2], names[2], 11],
      [names[1], names[1], 12],
      [names[0], names[0], 6],
      // One version, in all three.
      [names[2], names[0], 16],
    ]);
    const { mtimeNs } = await lstat(`${copies[0]}/page`, { bigint: true });
    expect(versions[2]).toMatchObject({ mode: 0o4750, uid: 1000 });
    expect(versions[2]?.modified.slice(20, 29)).toBe(String(mtimeNs).slice(-9));
  });

  it('shows what one snapshot, or one time, holds', async () => {
    expect((await restore('--snapshot', names[0] ?? '', 'page')).stdout).toContain('6 bytes');
    const time = (names[1] ?? '').replace(/^(.{11})(..)(..)(..)Z$/, '$1$2:$3:$4Z');
    expect((await restore('--at', time, 'page')).stdout).toContain('12 bytes');
    expect((await restore('--at', 'now', 'page')).stdout).toContain('11 bytes');
    expect((await restore('--snapshots')).stdout.match(/Z /g)).toHaveLength(3);
  });

  it('goes back to the last snapshot that holds what is gone', async () => {
    expect((await restore('gone')).stdout).toContain(names[0]);
  });

  it('finds by pattern, in the newest snapshot, in one, or in all', async () => {
    const paths = async (...words: string[]) => {
      const { versions } = JSON.parse((await restore('--json', ...words)).stdout) as {
        versions: { path: string; snapshot: string }[];
      };
      return versions.map(({ path, snapshot }) => `${path.slice(tree.length + 1)} ${names.indexOf(snapshot)}`);
    };
    expect(await paths('*')).toEqual(['deep 2', 'link 2', 'new 2', 'page 2', 'same 2']);
    expect(await paths('{gone,new}', '--snapshot', names[0] ?? '')).toEqual(['gone 0']);
    expect(await paths('**/f*')).toEqual(['deep/er/file 2', 'deep/fifo 2']);
    expect(await paths('--all', '[gn]*')).toEqual(['gone 0', 'new 2']);
    expect(await restore('zz*')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('matches it') });
  });

  it('shows what is gone, and what changed', async () => {
    const { deleted } = JSON.parse((await restore('--deleted', '--json')).stdout) as { deleted: object[] };
    expect(deleted).toEqual([{ path: `${tree}/gone`, snapshot: names[0], sizeBytes: 18 }]);
    expect((await restore('--deleted', 'deep')).stdout).toBe('nothing is gone\n');
    const { from, to, largest, totals } = JSON.parse((await restore('--changed', '--json')).stdout) as {
      from: string;
      to: string;
      largest: { path: string; change: string }[];
      totals: Record<string, { paths: number; bytes: number }>;
    };
    expect([from, to]).toEqual(names.slice(1));
    expect(largest.map(({ path, change }) => `${change} ${path.slice(tree.length + 1)}`)).toEqual([
      'added deep/large',
      'added deep/er/image',
      'added deep/image too',
      'added new',
      'content page',
    ]);
    expect(totals.added).toEqual({ paths: 4, bytes: 76 * 1024 ** 2 + 18 });
    const since = await restore('--changed', '--since', names[0] ?? '', '--snapshot', names[1] ?? '');
    expect(since.stdout).toMatch(/^removed +18 bytes +- +.*gone$/m);
    expect(await restore('--changed', '--snapshot', names[0] ?? '')).toExitWith(2);
  });

  it('says where else a path is, and what there is not', async () => {
    expect(await restore('--snapshot', names[2] ?? '', 'gone')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(`it is not in ${names[2]}, but before it in ${names[0]}`),
    });
    expect(await restore('nowhere')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(`no version of ${tree}/nowhere`),
    });
    expect(await restore('nowhere', 'page')).toMatchObject({
      exitCode: 3,
      stdout: expect.stringContaining('page'),
      stderr: expect.stringContaining('nowhere'),
    });
    expect(await restore('--snapshot', '2020-01-01T000000Z', 'page')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(`the nearest is ${names[0]}`),
    });
    expect(await restore('--at', '2020-01-01', 'page')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(`the oldest is ${names[0]}`),
    });
    expect(await restore('--at', 'the day before', 'page')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('not a time'),
    });
    expect(await restore('--at', 'now', '--snapshot', 'latest', 'page')).toExitWith(2);
  });
});

/** How many bytes of a file are not holes. */
const bytesOnDisk = async (file: string) => (await stat(file)).blocks * 512;

describe('restoring', () => {
  it('brings an image with its holes, under all its names, alone and among others, anew and over what is there', async () => {
    const image = `${tree}/deep/er/image`;
    for (const [out, ...words] of [
      ['holes', `${tree}/deep`],
      ['holes', `${tree}/deep`, '--overwrite'],
      ['holes-alone', image],
    ] as const) {
      if (words.length > 1)
        await must(['dd', 'if=/dev/urandom', `of=${to(out)}${image}`, 'bs=1M', 'count=8', 'status=none']);
      const outcome = await restore('--restore', '--to', to(out), ...words);
      expect(outcome).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringContaining('by checksums') });
      expect(await bytesOnDisk(`${to(out)}${image}`)).toBeLessThan(1024 * 1024);
    }
    expect(await compareTrees(`${copies[2]}/deep`, `${to('holes')}${tree}/deep`)).toEqual([]);
    await must(['cmp', `${copies[2]}/deep/er/image`, `${to('holes-alone')}${image}`]);
    await rm(to('holes'), { recursive: true });
  });

  it('puts a whole snapshot below a directory, identical', async () => {
    const out = to('whole');
    for (const [index, name] of names.entries()) {
      const outcome = await restore('--restore', '--all-files', '--snapshot', name, '--to', `${out}/${index}`);
      expect(outcome).toMatchObject({ exitCode: 0, stderr: '', stdout: expect.stringContaining('by checksums') });
      expect(await compareTrees(copies[index] ?? '', `${out}/${index}${tree}`)).toEqual([]);
    }
  });

  it('puts a path into a directory named like the snapshot, with the directories on the way', async () => {
    const cwd = to('named');
    await mkdir(cwd);
    const outcome = await client.runWith(
      { cwd },
      'byteback-restore',
      '--restore',
      '--snapshot',
      names[0] ?? '',
      `${tree}/deep/er`,
      `${tree}/page`,
    );
    expect(outcome).toExitWith(0);
    const there = `${cwd}/${names[0]}${tree}`;
    expect(await readFile(`${there}/page`, 'utf8')).toBe('first\n');
    expect((await stat(`${there}/page`)).mode & 0o7777).toBe(0o4750);
    expect((await stat(`${there}/deep`)).mode & 0o7777).toBe(0o711);
    expect((await must(['ls', there])).stdout).toBe('deep\npage\n');
    expect((await must(['ls', `${there}/deep`])).stdout).toBe('er\n');
  });

  it('starts with the snapshot of the last run while it asks which is meant, and takes nothing from there when it is another', async () => {
    const lastRun = JSON.parse(await readFile(`${client.stateDir}/last-run.json`, 'utf8')) as { snapshot: string };
    expect(lastRun.snapshot).toBe(names[2]);
    try {
      // The right one; an older one; one that the server has no more.
      for (const [round, [guess, pulls]] of [
        [names[2], 1] as const,
        [names[1], 2] as const,
        ['2020-01-01T000000Z', 2] as const,
      ].entries()) {
        await writeFile(`${client.stateDir}/last-run.json`, JSON.stringify({ ...lastRun, snapshot: guess }));
        const cwd = to(`guess-${round}`);
        await mkdir(cwd);
        const words = ['--restore', '--debug', `${tree}/page`, `${tree}/gone`];
        const outcome = await client.runWith(
          { cwd },
          'byteback-restore',
          ...words,
          ...(round === 0 ? ['--snapshot', names[2] ?? ''] : []),
        );
        expect(outcome.exitCode).toBe(round === 0 ? 3 : 0);
        expect(outcome.stderr.match(/\+ setpriv .* rsync /g)).toHaveLength(round === 0 ? 1 : pulls + 1);
        expect(await readFile(`${cwd}/${names[2]}${tree}/page`, 'utf8')).toBe('third page\n');
        // What is gone comes from the last that holds it, and nothing else is made for it.
        expect((await must(['ls', cwd])).stdout.split('\n').filter(Boolean)).toEqual(
          round === 0 ? [names[2]] : [names[0], names[2]],
        );
        if (round > 0) expect((await must(['ls', `${cwd}/${names[0]}${tree}`])).stdout).toBe('gone\n');
      }
    } finally {
      await writeFile(`${client.stateDir}/last-run.json`, JSON.stringify(lastRun));
    }
  });

  it('writes over nothing that is there, unless asked to', async () => {
    const words = ['--restore', '--snapshot', names[0] ?? '', '--to', to('named-2'), 'page'];
    expect(await restore(...words)).toExitWith(0);
    await writeFile(`${to('named-2')}${tree}/page`, 'mine\n');
    expect(await restore(...words)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is there already') });
    expect(await readFile(`${to('named-2')}${tree}/page`, 'utf8')).toBe('mine\n');
    await mkdir(to('full'));
    await writeFile(`${to('full')}/x`, '');
    expect(await restore('--restore', '--all-files', '--to', to('full'))).toExitWith(2);
    expect(await restore(...words, '--overwrite')).toExitWith(0);
    expect(await readFile(`${to('named-2')}${tree}/page`, 'utf8')).toBe('first\n');
  });

  it('puts it back in place: asks, and keeps what it replaces', async () => {
    const words = ['--restore', '--in-place', '--snapshot', names[0] ?? '', 'page', 'gone', 'same'];
    const { mtime } = await stat(tree);
    const before = (await must(['ls', tree])).stdout;
    const asked = await restore(...words);
    expect(asked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`would replace ${tree}/page`) });
    expect(asked.stderr).toContain('Replace 1, and make 1 anew?');
    expect((await must(['ls', tree])).stdout).toBe(before);

    expect(await restore(...words, '--yes')).toExitWith(0);
    const kept = (await must(['ls', tree])).stdout.split('\n').filter((name) => name.startsWith('page.before-'));
    expect(kept).toHaveLength(1);
    expect(await readFile(`${tree}/${kept[0]}`, 'utf8')).toBe('third page\n');
    expect(await readFile(`${tree}/page`, 'utf8')).toBe('first\n');
    expect(await readFile(`${tree}/gone`, 'utf8')).toBe('only in the first\n');
    // As it was for the tests that follow.
    await rm(`${tree}/gone`);
    await must(['mv', `${tree}/${kept[0]}`, `${tree}/page`]);
    await utimes(tree, mtime, mtime);
  });

  it.each([[['--yes']], [['--yes', '--overwrite']]])(
    'in place, directories have their times again, whatever was made in them: %j',
    async (how) => {
      const times = async (root = '') => (await must(['find', root, '-type', 'd', '-printf', '%P %T@\\n'])).stdout;
      for (const name of ['page', 'deep/large', 'deep/er/file']) await rm(`${tree}/${name}`);
      await writeFile(`${tree}/same`, 'not the same\n');
      expect(await restore('--restore', '--in-place', ...how, '--snapshot', names[2] ?? '', tree)).toExitWith(0);
      const kept = (await must(['ls', tree])).stdout.split('\n').filter((name) => name.includes('.before-'));
      expect(kept).toHaveLength(how.includes('--overwrite') ? 0 : 1);
      expect(await times(tree)).toBe(await times(copies[2]));
      for (const name of kept) await rm(`${tree}/${name}`);
      await must(['touch', '-r', copies[2] ?? '', tree]);
      expect(await compareTrees(copies[2] ?? '', tree)).toEqual([]);
    },
  );

  it('brings every version with --all', async () => {
    expect(await restore('--restore', '--all', '--to', to('all'), 'page')).toExitWith(0);
    const found = await must(['grep', '-r', '', to('all')]);
    expect(found.stdout.split('\n').filter(Boolean).toSorted()).toEqual(
      ['first', 'second page', 'third page'].map((text, index) => `${to('all')}/${names[index]}${tree}/page:${text}`),
    );
  });

  it('names what it could not restore, exit 3', async () => {
    const out = to('ramfs');
    await mkdir(out);
    // No ACLs there.
    await must(['mount', '-t', 'ramfs', 'none', out]);
    const outcome = await restore('--restore', '--to', out, 'same', 'page', '--json');
    expect(outcome.exitCode).toBe(3);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ status: 'partial', failed: [{ path: `${tree}/same` }] });
    await must(['umount', out]);
  });

  it('says when the disk is full, and goes on when there is space', async () => {
    const out = to('small');
    await mkdir(out);
    await must(['mount', '-t', 'tmpfs', '-o', 'size=20m', 'none', out]);
    const words = ['--restore', '--to', out, 'deep/large'];
    expect(await restore(...words)).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining(`no space left in ${out}`),
    });
    await must(['mount', '-o', 'remount,size=100m', out]);
    expect(await restore(...words)).toExitWith(0);
    expect(await compareTrees(`${copies[2]}/deep/large`, `${out}${tree}/deep/large`, { attributes: false })).toEqual(
      [],
    );
    await must(['umount', out]);
  });

  it('says that everything is its own when it is not root', async () => {
    await must(['useradd', '--create-home', 'joe']);
    for (const [from, name] of [
      [client.configDir, 'config'],
      [client.stateDir, 'state'],
    ] as const) {
      await must(['cp', '-a', from, `/home/joe/${name}`]);
    }
    await must(['sed', '-i', `s,${client.configDir},/home/joe/config,`, '/home/joe/config/ssh_config']);
    await must(['chown', '-R', 'joe', '/home/joe']);
    const outcome = await command([
      ...[
        'runuser',
        '-u',
        'joe',
        '--',
        'env',
        'BYTEBACK_CONFIG_DIR=/home/joe/config',
        'BYTEBACK_STATE_DIR=/home/joe/state',
      ],
      ...['byteback-restore', '--restore', '--snapshot', names[0] ?? '', '--to', '/home/joe/out', tree],
    ]);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('not run by root') });
    expect(await readFile(`/home/joe/out${tree}/deep/er/file`, 'utf8')).toBe('deep\n');
  });
});

describe('a restore that is cut', () => {
  /** A restore that is slow enough to be cut, and its target. */
  async function startSlowly(name: string) {
    const env = { ...process.env, ...client.env };
    const child = spawn('byteback-restore', ['--restore', '--to', to(name), `${tree}/deep`], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
    const ended = once(child, 'exit');
    for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 50) {
      const { stdout } = await command(['find', to(name), '-size', '+4M']);
      if (stdout !== '') break;
      await sleep(50);
    }
    return { child, ended, said: () => said };
  }

  beforeAll(async () => {
    await appendFile(`${client.configDir}/client.toml`, 'bwlimit = "8M"\n');
  });
  afterAll(async () => {
    await must(['sed', '-i', '/bwlimit/d', `${client.configDir}/client.toml`]);
  });

  it('by the network goes on by itself', async () => {
    const slow = await startSlowly('cut');
    await must(['pkill', '-KILL', '-u', 'byteback', '-x', 'sshd']);
    await slow.ended;
    expect(slow.child.exitCode, slow.said()).toBe(0);
    expect(slow.said()).toContain('next attempt in 1 s');
    expect(await compareTrees(`${copies[2]}/deep`, `${to('cut')}${tree}/deep`)).toEqual([]);
  });

  it('by a kill goes on when the same command is given again, and leaves no process', async () => {
    const slow = await startSlowly('killed');
    slow.child.kill('SIGKILL');
    await slow.ended;
    await sleep(300);
    expect((await command(['pgrep', '-f', to('killed')])).stdout).toBe('');
    const other = await restore('--restore', '--to', to('killed'), `${tree}/deep`, `${tree}/page`);
    expect(other, 'another restore to the same place').toExitWith(2);
    const again = await restore('--restore', '--to', to('killed'), `${tree}/deep`, '--verbose');
    expect(again).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('going on with the restore') });
    expect(await compareTrees(`${copies[2]}/deep`, `${to('killed')}${tree}/deep`)).toEqual([]);
  });

  it('by Ctrl-C ends at once, exit 130', async () => {
    const slow = await startSlowly('interrupted');
    slow.child.kill('SIGINT');
    await slow.ended;
    expect(slow.child.exitCode).toBe(130);
    expect((await command(['pgrep', '-f', to('interrupted')])).stdout).toBe('');
  });

  it('when the server is away, a listing says so at once', async () => {
    await machine.stopSshd();
    expect(await restore('page')).toMatchObject({
      exitCode: 10,
      stderr: expect.stringContaining('Connection refused'),
    });
    await machine.startSshd();
  });
});
