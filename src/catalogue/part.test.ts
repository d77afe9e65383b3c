import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { entriesAfter, entriesAt } from './part.ts';

let directory: string;
let file: string;
const paths = Array.from({ length: 20_000 }, (_, index) => `/d${String(index).padStart(6, '0')}/some longer name`);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'byteback-part-'));
  file = join(directory, 'scan');
  await writeFile(file, paths.map((path) => `${path}\x01f 1 1 1 1 1 644 0 0\0`).join(''));
});

afterAll(() => rm(directory, { recursive: true }));

function entriesFrom(path: string, most: number): { found: string[]; ended: boolean } {
  const found: string[] = [];
  const ended = entriesAfter(file, path, (entry) => {
    found.push(entry.path);
    return found.length < most;
  });
  return { found, ended };
}

describe('a part of a catalogue', () => {
  it('begins after any path', () => {
    expect(entriesFrom('', 2)).toEqual({ found: paths.slice(0, 2), ended: false });
    for (const index of [0, 1, 777, 9_999, 15_000, 19_997]) {
      expect(entriesFrom(paths[index] ?? '', 2).found).toEqual(paths.slice(index + 1, index + 3));
    }
    expect(entriesFrom('/d000500/a name that is not there', 1).found).toEqual(['/d000500/some longer name']);
  });

  it('is found by its paths, those that are not there left out', () => {
    const some = paths.filter((_, index) => index % 37 === 0 || index > 19_990);
    const asked = [...some, '', '/', '/d', '/d000500', '/d000500/some longer nam', '/e', '/\xff'].toReversed();
    expect([...entriesAt(file, asked).keys()].sort()).toEqual(some);
    expect(entriesAt(file, paths).size).toBe(paths.length);
    expect(entriesAt(file, []).size).toBe(0);
  });

  it('ends at the end', () => {
    expect(entriesFrom(paths.at(-2) ?? '', 5)).toEqual({ found: paths.slice(-1), ended: true });
    expect(entriesFrom(paths.at(-1) ?? '', 5)).toEqual({ found: [], ended: true });
    expect(entriesFrom('', 100_000).found).toEqual(paths);
  });
});
