import { appendFile, cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunReport } from '../../src/client/run-backup.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// What is left out is not touched; what cannot be read is untrue in its own place only.
let machine: InstalledMachine;
let client: TestClient;
let tree: string;
let trees = 0;
// What FUSE shows of a place below /dev counts as one of this machine's own disks.
const behind = '/dev/shm/behind';

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
  await must(['useradd', '--create-home', 'bob']);
  // bob's programs have to come by.
  await must(['chmod', '711', machine.scratch]);
  await must(['mount', '-t', 'tmpfs', 'none', '/dev/shm']);
  await must(['chmod', '666', '/dev/fuse']);
  await appendFile('/etc/fuse.conf', '\nuser_allow_other\n');
});

afterAll(async () => {
  await machine?.dispose();
  await command(['umount', '/dev/shm']);
  await command(['userdel', '--remove', 'bob']);
});

beforeEach(async () => {
  // Of the tree of one test nothing is there in the next.
  trees += 1;
  tree = `${machine.disk}/tree${trees}`;
  await rm(behind, { recursive: true, force: true });
  for (const path of ['a/one', 'a/two', 'b/three', 'moved/four', 'moved/five']) await put(`${tree}/${path}`);
  for (const path of ['open/six', 'secret/seven', 'secret/deep/eight']) await put(`${behind}/${path}`);
  for (const name of ['mnt', 'hang', 'b/loop']) await mkdir(`${tree}/${name}`);
  await must(['chown', '-R', 'bob:', behind, `${tree}/mnt`, `${tree}/hang`]);
  await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\nsource = ["${tree}"]\n`);
});

afterEach(async () => {
  await command(['pkill', '-CONT', 'bindfs']);
  for (const name of ['mnt', 'hang', 'b/loop']) {
    while ((await command(['umount', '--lazy', `${tree}/${name}`])).exitCode === 0);
  }
});

async function put(path: string, text = `${path}\n`): Promise<void> {
  await mkdir(path.slice(0, path.lastIndexOf('/')), { recursive: true });
  await writeFile(path, text);
}

/** Mounts a directory by FUSE, as bob. */
const showAt = (name: string, what: string, ...options: string[]) =>
  must(['su', 'bob', '-c', `bindfs ${options.join(' ')} ${what} ${tree}/${name}`]);
const showDisk = () => showAt('mnt', behind, '-o', 'allow_other');

async function backup(...options: string[]): Promise<RunReport & { exitCode: number; stderr: string }> {
  const outcome = await client.run('byteback-backup', '--json', ...options);
  expect([0, 3], outcome.stderr).toContain(outcome.exitCode);
  return { ...JSON.parse(outcome.stdout), exitCode: outcome.exitCode, stderr: outcome.stderr };
}

/** What the newest snapshot holds of the tree: each path, and what is in it. */
async function stored(): Promise<string[]> {
  return listed(`${client.place}/snapshots/${(await machine.snapshots('web1')).at(-1)}/fs${tree}`);
}
async function listed(directory: string): Promise<string[]> {
  const { stdout } = await must(
    ['sh', '-c', 'find . -type d; find . -type f | while read -r f; do echo "$f $(cat "$f")"; done'],
    {
      cwd: directory,
    },
  );
  return stdout.split('\n').filter(Boolean).toSorted();
}

/** Some is deleted, renamed, made and changed, outside of what is mounted. */
async function edit(): Promise<void> {
  await rm(`${tree}/a/one`);
  await rename(`${tree}/moved`, `${tree}/renamed`);
  await put(`${tree}/renamed/new`);
  await put(`${tree}/b/three`, 'another content\n');
}
const edited = ['.', './a', `./a/two {}/a/two`, './b', './b/three another content', './hang', './mnt'].concat([
  './b/loop',
  './renamed',
  './renamed/five {}/moved/five',
  './renamed/four {}/moved/four',
  './renamed/new {}/renamed/new',
]);
const expected = (...further: string[]) => [...edited, ...further].map((line) => line.replace('{}', tree)).toSorted();
const secret = () => [
  './mnt/open',
  `./mnt/open/six ${behind}/open/six`,
  './mnt/secret',
  './mnt/secret/deep',
  `./mnt/secret/deep/eight ${behind}/secret/deep/eight`,
  `./mnt/secret/seven ${behind}/secret/seven`,
];

describe('what is left out', () => {
  it('is not touched: mounts that refuse root, that hang, and that lead in a circle', async () => {
    await showAt('mnt', '/home/bob', '--no-allow-other');
    await showAt('hang', '/home/bob', '-o', 'allow_other');
    await must(['mount', '--bind', tree, `${tree}/b/loop`]);
    await must(['pkill', '-STOP', '-f', `bindfs.*${tree}/hang`]);
    expect(await backup()).toMatchObject({ exitCode: 0, status: 'ok' });
    await edit();
    const { excluded, ...second } = await backup();
    expect(second).toMatchObject({ exitCode: 0, status: 'ok', walk: null, stderr: '' });
    expect(excluded.map(({ path }) => path)).toEqual(
      expect.arrayContaining([`${tree}/mnt`, `${tree}/hang`, `${tree}/b/loop`]),
    );
    expect(await stored()).toEqual(expected());
    expect(await backup('--full')).toMatchObject({ exitCode: 0 });
    expect(await stored()).toEqual(expected());
    // For everybody else all is mounted as before.
    expect((await must(['cat', '/proc/self/mountinfo'])).stdout.split(tree)).toHaveLength(4);
    expect((await command(['pgrep', '-f', 'unshare --mount --propagation'])).stdout).toBe('');
  });

  it('where no namespace can be made, is left out as well as the machine allows', async () => {
    await must(['mount', '--bind', tree, `${tree}/b/loop`]);
    const weak = ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin'];
    const first = await client.run(...weak, 'byteback-backup', '--verbose');
    expect(first.exitCode, first.stderr).toBe(0);
    expect(first.stderr).toContain('no mount namespace of its own');
    await edit();
    const second = await client.run(...weak, 'byteback-backup', '--json');
    expect(JSON.parse(second.stdout)).toMatchObject({ status: 'ok', walk: null });
    expect(await stored()).toEqual(expected());
  });
});

describe('what cannot be read', () => {
  it.each([['by changes'], ['by a walk', '--full']])('stays as it was in its own place, %s', async (_, ...options) => {
    await showDisk();
    expect(await backup()).toMatchObject({ exitCode: 0 });
    // The directory is seen, and not what is in it.
    await must(['chown', 'root:', `${behind}/secret`]);
    await must(['chmod', '700', `${behind}/secret`]);
    await rm(`${behind}/secret/seven`);
    await edit();
    const during = await backup(...options);
    expect(during).toMatchObject({ exitCode: 3, status: 'partial' });
    if (options.length === 0) expect(during.walk).toBeNull();
    expect(during.unread).toEqual([{ path: `${tree}/mnt/secret`, why: 'Permission denied' }]);
    expect(await stored()).toEqual(expected(...secret()));
    expect(await backup()).toMatchObject({ exitCode: 3, walk: null, figures: { files: 8 } });
    expect(await stored()).toEqual(expected(...secret()));
    await must(['chown', 'bob:', `${behind}/secret`]);
    expect(await backup()).toMatchObject({ exitCode: 0, walk: null });
    expect(await stored()).toEqual(expected(...secret().filter((line) => !line.includes('seven'))));
  });

  it('may be a whole file system whose program has died', async () => {
    await showDisk();
    expect(await backup()).toMatchObject({ exitCode: 0 });
    await must(['pkill', '-KILL', '-f', `bindfs.*${tree}/mnt`]);
    await edit();
    for (const options of [[], ['--full'], []]) {
      const during = await backup(...options);
      expect(during).toMatchObject({ exitCode: 3, status: 'partial' });
      expect(during.unread).toEqual([{ path: `${tree}/mnt`, why: 'Transport endpoint is not connected' }]);
      expect(await stored()).toEqual(expected(...secret()));
    }
    await must(['umount', '--lazy', `${tree}/mnt`]);
    await showDisk();
    await rm(`${behind}/open/six`);
    expect(await backup()).toMatchObject({ exitCode: 0, walk: null });
    expect(await stored()).toEqual(expected(...secret().filter((line) => !line.includes('six'))));
  });

  it('may have been so from the first run on, and is there once it can be read', async () => {
    await must(['chmod', '700', `${behind}/secret`]);
    await must(['chown', 'root:', `${behind}/secret`]);
    await showDisk();
    const first = await backup();
    expect(first).toMatchObject({ exitCode: 3 });
    await edit();
    expect(await backup()).toMatchObject({ exitCode: 3, walk: null });
    expect(await stored()).toEqual(expected(...secret().filter((line) => !/seven|deep|eight/.test(line))));
    await must(['chown', 'bob:', `${behind}/secret`]);
    expect(await backup()).toMatchObject({ exitCode: 0 });
    expect(await stored()).toEqual(expected(...secret()));
  });

  it('may be a file of a walk: all else is deleted and renamed as it should', async () => {
    await showDisk();
    expect(await backup()).toMatchObject({ exitCode: 0 });
    await cp(`${behind}/open/six`, `${behind}/closed`);
    await must(['chown', 'root:', `${behind}/closed`]);
    await must(['chmod', '600', `${behind}/closed`]);
    await edit();
    const during = await backup('--full');
    expect(during).toMatchObject({ exitCode: 3 });
    expect(during.unread.map(({ path }) => path)).toEqual([`${tree}/mnt/closed`]);
    expect(await stored()).toEqual(expected(...secret()));
    await must(['chown', 'bob:', `${behind}/closed`]);
    expect(await backup()).toMatchObject({ exitCode: 0, walk: null });
    expect(await stored()).toEqual(expected(...secret(), `./mnt/closed ${behind}/open/six`));
  });

  it('and is excluded by a rule of the person, is nothing to tell', async () => {
    await must(['chmod', '700', `${behind}/secret`]);
    await must(['chown', 'root:', `${behind}/secret`]);
    await showDisk();
    const rule = ['--exclude', `${tree}/mnt/secret`];
    expect(await backup(...rule)).toMatchObject({ exitCode: 0 });
    await edit();
    expect(await backup(...rule)).toMatchObject({ exitCode: 0, walk: null });
    expect(await stored()).toEqual(expected('./mnt/open', `./mnt/open/six ${behind}/open/six`));
  });
});

describe('a source that is away', () => {
  const hung = () => `${tree}/hang`;
  const sourcesAre = (...sources: string[]) =>
    writeFile(
      `${client.configDir}/client.toml`,
      `destination = "byteback@127.0.0.1:"\nsource = ${JSON.stringify(sources)}\n`,
    );
  const rest = ['.', './a', './b', './b/loop'];

  it('because what is mounted there does not answer, is kept, and all others are taken', async () => {
    await showAt('hang', behind, '-o', 'allow_other');
    await sourcesAre(`${tree}/a`, hung(), `${tree}/b`);
    expect(await backup()).toMatchObject({ exitCode: 0 });
    const shown = secret().map((line) => line.replace('./mnt', './hang'));
    await must(['pkill', '-STOP', '-f', `bindfs.*${hung()}`]);
    await rm(`${tree}/a/one`);
    for (const options of [[], ['--full']]) {
      const during = await backup(...options);
      expect(during).toMatchObject({ exitCode: 3, status: 'partial' });
      expect(during.unread).toEqual([{ path: hung(), why: 'it does not answer' }]);
      const found = [...rest, `./a/two ${tree}/a/two`, `./b/three ${tree}/b/three`, './hang', ...shown];
      expect(await stored()).toEqual(found.toSorted());
    }
    await sourcesAre(hung());
    expect(await client.run('byteback-backup')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('does not answer'),
    });
    await sourcesAre(`${tree}/a`, hung());
    const weak = ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin'];
    expect(await client.run(...weak, 'byteback-backup')).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('no mount namespace'),
    });
    const { stdout } = await client.run(...weak, 'byteback', 'doctor');
    expect(stdout).toContain('no mount namespace of their own');
    expect(stdout).toContain(`the source ${hung()} does not answer`);
  }, 300_000);

  it('because it may not be read, is kept, and all others are taken', async () => {
    await showAt('hang', '/home/bob', '-o', 'allow_other');
    await must(['umount', hung()]);
    await showAt('hang', behind, '--no-allow-other');
    await sourcesAre(`${tree}/a`, hung());
    const first = await backup();
    expect(first).toMatchObject({ exitCode: 3, unread: [{ path: hung(), why: expect.stringContaining('EACCES') }] });
    await rm(`${tree}/a/one`);
    expect(await backup()).toMatchObject({ exitCode: 3, walk: null });
    expect((await stored()).filter((line) => !line.startsWith('./hang'))).toEqual([
      '.',
      './a',
      `./a/two ${tree}/a/two`,
    ]);
    await must(['umount', hung()]);
    await showAt('hang', behind, '-o', 'allow_other');
    expect(await backup()).toMatchObject({ exitCode: 0 });
    expect(await stored()).toContain(`./hang/open/six ${behind}/open/six`);
  });
});

describe('a file system that is not mounted', () => {
  it('stays on the server as it was, by changes and by a walk, until it is mounted again or forgotten', async () => {
    const image = `${machine.scratch}/own.img`;
    await must(['sh', '-c', `truncate -s 64M ${image} && mkfs.ext4 -q -F ${image}`]);
    // What lies beneath the mount point is never shown in its place.
    await put(`${tree}/mnt/beneath`);
    // A loop device is left out unless a source was named on it.
    const sources = `source = ["${tree}", "${tree}/mnt"]`;
    await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\n${sources}\n`);
    await must(['mount', '-o', 'loop', image, `${tree}/mnt`]);
    await put(`${tree}/mnt/own/one`);
    expect(await backup()).toMatchObject({ exitCode: 0 });
    await must(['umount', `${tree}/mnt`]);
    await edit();
    const own = ['./mnt/lost+found', './mnt/own', `./mnt/own/one ${tree}/mnt/own/one`];
    for (const options of [[], ['--full'], []]) {
      const during = await backup(...options);
      expect(during).toMatchObject({ exitCode: 3, figures: { files: 6 } });
      expect(during.unread).toEqual([{ path: `${tree}/mnt`, why: expect.stringContaining('and is not now') }]);
      expect(await stored()).toEqual(expected(...own));
    }
    await must(['mount', '-o', 'loop', image, `${tree}/mnt`]);
    expect(await backup()).toMatchObject({ exitCode: 0, walk: null });
    expect(await stored()).toEqual(expected(...own));
    await must(['umount', `${tree}/mnt`]);
    expect(await backup('--forget-mount', `${tree}/mnt`)).toMatchObject({ exitCode: 0 });
    expect(await stored()).toEqual(expected(`./mnt/beneath ${tree}/mnt/beneath`));
    expect(await backup()).toMatchObject({ exitCode: 0 });
  });
});
