import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replay } from './replay.ts';

// The program works where it stands, as it does in the jail.
const home = process.cwd();
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'byteback-replay-'));
  process.chdir(directory);
  for (const path of ['a/x', 'b/x', 'b/s/y', 'c']) {
    await mkdir(join(directory, path, '..'), { recursive: true });
    await writeFile(join(directory, path), path);
  }
});

afterEach(async () => {
  process.chdir(home);
  await rm(directory, { recursive: true });
});

function pairs(...moves: readonly (readonly [string, string])[]): Buffer {
  return Buffer.from(moves.flatMap(([from, to]) => [`${from}\0`, `${to}\0`]).join(''), 'latin1');
}

async function tree(): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const told = await Promise.all(
    files.map(async (file) => `${file.slice(directory.length + 1)}: ${await readFile(file, 'utf8')}`),
  );
  return told.toSorted();
}

describe('a replay of renames', () => {
  it('survives swaps and chains', async () => {
    expect(await replay(pairs(['a', 'b'], ['b', 'a'], ['c', 'd']))).toEqual({ ok: true, failed: 0 });
    expect(await tree()).toEqual(['a/s/y: b/s/y', 'a/x: b/x', 'b/x: a/x', 'd: c']);
  });

  it('pulls things out of what moves itself, and makes the directories that it needs', async () => {
    expect(await replay(pairs(['b', 'new/way/b'], ['b/s', 's']))).toEqual({ ok: true, failed: 0 });
    expect(await tree()).toEqual(['a/x: a/x', 'c: c', 'new/way/b/x: b/x', 's/y: b/s/y']);
  });

  it('deletes what stood at the new place, and a file that stands in the way', async () => {
    expect(await replay(pairs(['a', 'b']))).toEqual({ ok: true, failed: 0 });
    expect(await tree()).toEqual(['b/x: a/x', 'c: c']);
    expect(await replay(pairs(['b/x', 'c/x']))).toEqual({ ok: true, failed: 0 });
    expect(await tree()).toEqual(['c/x: a/x']);
  });

  it('counts what cannot be done, and does the rest', async () => {
    expect(await replay(pairs(['nowhere', 'x'], ['a/x', 'x']))).toEqual({ ok: true, failed: 1 });
    expect(await tree()).toEqual(['b/s/y: b/s/y', 'b/x: b/x', 'c: c', 'x: a/x']);
    expect(await replay(Buffer.from('x\0'))).toEqual({ ok: true, failed: 1 });
  });

  it('does nothing outside of its directory', async () => {
    for (const path of ['../x', '/etc/passwd', 'a/../../x', '.', '']) {
      expect(await replay(pairs([path, 'x']))).toEqual({ ok: true, failed: 1 });
      expect(await replay(pairs(['c', path]))).toEqual({ ok: true, failed: 1 });
    }
    expect(await tree()).toEqual(['a/x: a/x', 'b/s/y: b/s/y', 'b/x: b/x', 'c: c']);
  });
});
