import { mkdir, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { RunReport } from '../../src/client/run-backup.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// A locked encrypted directory (fscrypt) shows cipher names: they are no files, and the clear ones are not gone.
let machine: InstalledMachine;
let client: TestClient;
let tree: string;
let trees = 0;
const hook = '/etc/byteback/hooks/prepare.d/between';

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
});
afterEach(async () => {
  await rm(hook, { force: true });
  await must(['umount', tree]);
});
afterAll(() => machine?.dispose());

beforeEach(async () => {
  trees += 1;
  tree = `${machine.scratch}/encrypted${trees}`;
  await mkdir(tree, { recursive: true });
  await must(['sh', '-c', `truncate -s 64M ${tree}.img && mkfs.ext4 -q -F -O encrypt ${tree}.img`]);
  await must(['mount', '-o', 'loop', `${tree}.img`, tree]);
  for (const name of ['clear', 'secret', 'secret-b']) await mkdir(`${tree}/${name}`);
  await key('encrypt', 'secret');
  await put('clear/one', 'secret/two', 'secret/deep/three', 'secret/deep/four');
  await must(['ln', '-s', 'two', `${tree}/secret/link`]);
  await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\nsource = ["${tree}"]\n`);
});

async function put(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(`${tree}/${path}`.replace(/\/[^/]*$/, ''), { recursive: true });
    await writeFile(`${tree}/${path}`, `${path}\n`);
  }
}

const helper = new URL('../helpers/fscrypt', import.meta.url).pathname;
const key = (act: 'encrypt' | 'unlock' | 'lock', name = '') => must([helper, act, `${tree}/${name}`]);
/** What is seen by then must be read anew. */
async function lock(): Promise<void> {
  await key('lock');
  await must(['sh', '-c', 'echo 2 > /proc/sys/vm/drop_caches']);
  expect((await command(['cat', `${tree}/secret/two`])).exitCode).not.toBe(0);
}

async function backup(...options: string[]): Promise<RunReport & { exitCode: number; stderr: string }> {
  const outcome = await client.run('byteback-backup', '--json', ...options);
  expect([0, 3], outcome.stderr).toContain(outcome.exitCode);
  return { ...JSON.parse(outcome.stdout), exitCode: outcome.exitCode, stderr: outcome.stderr };
}

/** What the newest snapshot holds of the tree: each path, and what is in it. */
async function stored(): Promise<string[]> {
  const { stdout } = await must(
    [
      'sh',
      '-c',
      'find . -mindepth 1 -not -type f; find . -type f | while read -r f; do echo "$f $(head -c 99 "$f")"; done',
    ],
    { cwd: `${client.place}/snapshots/${(await machine.snapshots('web1')).at(-1)}/fs${tree}` },
  );
  return stdout.split('\n').filter(Boolean).toSorted();
}
const clear = ['./clear', './lost+found', './secret', './secret-b'];
const secret = ['./secret/deep', './secret/deep/three secret/deep/three', './secret/two secret/two'].concat([
  './secret/deep/four secret/deep/four',
  './secret/link two',
]);
const expected = (...further: string[]) => [...clear, ...further].toSorted();

it('stays as it was, by changes and by a walk, until it is open again', async () => {
  expect(await backup()).toMatchObject({ exitCode: 0 });
  expect(await stored()).toEqual(expected('./clear/one clear/one', ...secret));
  await rm(`${tree}/secret/deep/four`);
  await lock();
  await rm(`${tree}/clear/one`);
  await put('clear/new');
  for (const options of [[], ['--full'], []]) {
    const during = await backup(...options);
    expect(during).toMatchObject({ exitCode: 3, status: 'partial' });
    if (options.length === 0) expect(during.walk).toBeNull();
    expect(during.unread).toEqual([{ path: `${tree}/secret`, why: expect.stringMatching(/locked: .* last open on/) }]);
    expect(await stored()).toEqual(expected('./clear/new clear/new', ...secret));
  }
  await key('unlock');
  await put('secret/five');
  expect(await backup()).toMatchObject({ exitCode: 0, walk: null, unread: [] });
  const open = secret.filter((line) => !line.includes('four')).concat('./secret/five secret/five');
  expect(await stored()).toEqual(expected('./clear/new clear/new', ...open));
  await rm(`${tree}/secret/two`);
  expect(await backup('--full')).toMatchObject({ exitCode: 0, unread: [] });
  const rest = open.filter((line) => !line.includes('/two'));
  expect(await stored()).toEqual(expected('./clear/new clear/new', ...rest));
});

it('that was never open is named, and its cipher names are nowhere', async () => {
  await lock();
  for (const options of [[], ['--full'], []]) {
    const { exitCode, unread } = await backup(...options);
    expect(exitCode).toBe(3);
    expect(unread).toEqual([{ path: `${tree}/secret`, why: expect.stringContaining('was never open') }]);
    expect(await stored()).toEqual(expected('./clear/one clear/one'));
  }
  await key('unlock');
  expect(await backup()).toMatchObject({ exitCode: 0 });
  expect(await stored()).toEqual(expected('./clear/one clear/one', ...secret));
});

it.each([['by changes'], ['by a walk', '--full']])(
  'that is locked between scan and transfer, %s, loses nothing',
  async (_, ...options) => {
    expect(await backup()).toMatchObject({ exitCode: 0 });
    await put('secret/new', 'clear/new');
    await rm(`${tree}/secret/deep/four`);
    await writeFile(`${tree}/secret/two`, 'changed\n');
    await mkdir(hook.replace(/\/[^/]*$/, ''), { recursive: true });
    await writeFile(hook, `#!/bin/sh\n${helper} lock ${tree}\necho 2 > /proc/sys/vm/drop_caches\n`, { mode: 0o755 });
    const during = await backup(...options);
    expect(during).toMatchObject({ exitCode: 3, status: 'partial' });
    expect(during.unread.map(({ path }) => path)).toContain(`${tree}/secret`);
    // What was deleted before may go now or later.
    const some = async () => (await stored()).filter((line) => !line.includes('four'));
    const kept = secret.filter((line) => !line.includes('four'));
    expect(await some()).toEqual(expected('./clear/one clear/one', './clear/new clear/new', ...kept));
    await rm(hook);
    expect(await backup()).toMatchObject({ exitCode: 3 });
    expect(await some()).toEqual(expected('./clear/one clear/one', './clear/new clear/new', ...kept));
    await key('unlock');
    expect(await backup()).toMatchObject({ exitCode: 0 });
    const open = kept.map((line) => (line.includes('/two ') ? './secret/two changed' : line));
    expect(await stored()).toEqual(
      expected('./clear/one clear/one', './clear/new clear/new', './secret/new secret/new', ...open),
    );
  },
);
