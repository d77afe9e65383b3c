import { appendFile, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// Names that look like something else: escapes, patterns, line ends. What a person types means the name itself first.
let machine: InstalledMachine;
let client: TestClient;
let tree = '';

/** Pairs: a name that looks like an escape or a pattern, and one that it could be taken for. */
const pairs: readonly (readonly [literal: string, other: string])[] = [
  ['mnt-my\\x2ddisk.mount', 'mnt-my-disk.mount'],
  ['back\\\\slash', 'back\\slash'],
  ['caf\\xc3\\xa9', 'café'],
  ['star*', 'star-like'],
  ['what?', 'whats'],
  ['set[ab]', 'seta'],
  ['{one,two}', 'one'],
  ['!not', 'not'],
];

const gone = ['gone file', 'gone*', 'gone\\x2d'];

const restore = (...words: string[]) => client.runWith({ cwd: tree }, 'byteback-restore', ...words);

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
  await appendFile(`${client.configDir}/client.toml`, 'retry_delay = "1s"\n');
  tree = `${machine.disk}/tree`;
  await mkdir(`${tree}/lines/new\nline/deep`, { recursive: true });
  await writeFile(`${tree}/lines/new\nline/deep/file`, 'deep\n');
  await writeFile(`${tree}/lines/ends with\n`, 'ends\n');
  await mkdir(`${tree}/gone dir/sub`, { recursive: true });
  await writeFile(`${tree}/gone dir/sub/x`, '12345');
  await mkdir(`${tree}/stays`);
  await writeFile(`${tree}/stays/went`, '123');
  for (const name of gone) await writeFile(`${tree}/${name}`, name);
  for (const name of new Set(pairs.flat())) await writeFile(`${tree}/${name}`, `${name}\n`);
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
  for (const name of [...gone, 'gone dir', 'stays/went']) await rm(`${tree}/${name}`, { recursive: true });
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
}, 300_000);
afterAll(async () => {
  await machine?.dispose();
});

describe('what is typed means the name itself, whatever it looks like', () => {
  it.each(pairs)('%s, and not %s', async (literal, other) => {
    const listed = JSON.parse((await restore('--json', '--all', literal)).stdout) as { versions: unknown[] };
    expect(listed.versions).toHaveLength(1);
    for (const name of [literal, other]) await writeFile(`${tree}/${name}`, 'mine\n');
    expect(await restore('--restore', '--in-place', '--overwrite', '--yes', literal)).toExitWith(0);
    expect(await readFile(`${tree}/${literal}`, 'utf8')).toBe(`${literal}\n`);
    expect(await readFile(`${tree}/${other}`, 'utf8')).toBe('mine\n');
  });

  it('what a listing prints still means that name', async () => {
    const { stdout } = await restore('--json', 'back*');
    const { versions } = JSON.parse(stdout) as { versions: { path: string }[] };
    expect(versions).toHaveLength(2);
    for (const { path } of versions) {
      const again = JSON.parse((await restore('--json', path)).stdout) as { versions: { path: string }[] };
      expect(again.versions).toHaveLength(1);
    }
  });

  it('in a pattern a backslash stands for itself where names have one', async () => {
    const paths = async (pattern: string) => {
      const { versions } = JSON.parse((await restore('--json', pattern)).stdout) as { versions: { path: string }[] };
      return versions.map(({ path }) => path.slice(tree.length + 1));
    };
    expect(await paths('mnt-my\\x2d*')).toEqual(['mnt-my\\\\x2ddisk.mount']);
    // Where none has: it takes the meaning of what follows away.
    expect(await paths('star\\**')).toEqual(['star*']);
  });
});

it('patterns match names with line ends', async () => {
  const outcome = await restore('--restore', '--to', `${machine.disk}/lines`, 'lines/**');
  expect(outcome).toExitWith(0);
  expect(await readFile(`${machine.disk}/lines${tree}/lines/new\nline/deep/file`, 'utf8')).toBe('deep\n');
  expect((await lstat(`${machine.disk}/lines${tree}/lines/ends with\n`)).size).toBe(5);
});

describe('what is gone', () => {
  const deleted = async (...words: string[]) => {
    const outcome = await restore('--deleted', '--json', ...words);
    expect(outcome).toExitWith(0);
    const { deleted } = JSON.parse(outcome.stdout) as { deleted: { path: string; sizeBytes: number }[] };
    return deleted.map(({ path, sizeBytes }) => `${path.slice(tree.length + 1)} ${sizeBytes}`);
  };
  it.each<[string, string[]]>([
    ['gone file', ['gone file 9']],
    ['gone*', ['gone* 5']],
    ['gone\\x2d', ['gone\\\\x2d 8']],
    ['stays/went', ['stays/went 3']],
    ['stays', ['stays/went 3']],
    ['stays/*', ['stays/went 3']],
    ['st*', ['stays/went 3']],
    ['gone dir', ['gone dir 0', 'gone dir/sub 0', 'gone dir/sub/x 5']],
    ['gone dir/sub/x', ['gone dir/sub/x 5']],
    ['gone [df]*', ['gone dir 0', 'gone dir/sub 0', 'gone dir/sub/x 5', 'gone file 9']],
    ['**/x', ['gone dir/sub/x 5']],
    ['what?', []],
  ])('%s', async (typed, expected) => {
    expect(await deleted(typed)).toEqual(expected);
  });
  it('of a name that no snapshot has, it says so', async () => {
    expect(await restore('--deleted', 'nothing like it')).toMatchObject({ exitCode: 2 });
    expect(await restore('--deleted', 'nothing like it*')).toMatchObject({ exitCode: 2 });
  });
  it('here and below, without a path', async () => {
    expect(await deleted()).toHaveLength(7);
  });
});
