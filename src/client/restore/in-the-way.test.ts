import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ListedType } from '../../protocol/tree-list.ts';
import { isInTheWay, keptName, moveAside, topmost } from './in-the-way.ts';

const kinds = ['file', 'directory', 'link', 'fifo', 'socket', 'block', 'character'] as const;
const pairs = kinds.flatMap((wanted) => kinds.map((found) => ({ wanted, found })));

test.each(pairs)('$found where $wanted comes', ({ wanted, found }) => {
  expect(isInTheWay(wanted, found)).toBe(wanted !== found);
});

test.each(kinds)('nothing has to give way where nothing is, or nothing comes: %s', (kind) => {
  expect(isInTheWay(kind, 'nothing')).toBe(false);
  expect(isInTheWay('unreadable', kind)).toBe(false);
  expect(isInTheWay(kind, 'unreadable')).toBe(true);
});

const one = (name: string, found: ListedType = 'directory') => ({ name, found, wanted: 'file' as ListedType });

test('what lies in what gives way goes with it', () => {
  const names = (all: string[]) => topmost(all.map((name) => one(name))).map(({ name }) => name);
  expect(names(['a/b/c', 'a', 'ab', 'a/b', 'x/y'])).toEqual(['a', 'ab', 'x/y']);
});

test('a kept name is as long as a name may be, and ends in the suffix', () => {
  expect(keptName('a', '.before')).toBe('a.before');
  const long = keptName('x'.repeat(255), '.before');
  expect(long).toHaveLength(255);
  expect(long.endsWith('x.before')).toBe(true);
});

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-aside-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
const said: string[] = [];
const log = { step: (text: string) => said.push(text) } as never;

test('a directory moves whole, and never over what was kept before', () => {
  mkdirSync(join(directory, 'd', 'full'), { recursive: true });
  writeFileSync(join(directory, 'd', 'full', 'diary'), 'dear');
  writeFileSync(join(directory, 'd', 'full.before'), 'older');
  moveAside([one('d/full')], directory, '.before', log);
  expect(readdirSync(join(directory, 'd')).toSorted()).toEqual(['full.before', 'full.before.2']);
  expect(readFileSync(join(directory, 'd', 'full.before.2', 'diary'), 'utf8')).toBe('dear');
  expect(readFileSync(join(directory, 'd', 'full.before'), 'utf8')).toBe('older');
});

test('what is no longer what was asked about stays', () => {
  writeFileSync(join(directory, 'f'), 'new');
  expect(() => moveAside([one('f', 'directory')], directory, '.before', log)).toThrow('cannot move aside /f');
  expect(() => moveAside([one('gone/f')], directory, '.before', log)).toThrow('cannot move aside /gone/f');
  expect(readFileSync(join(directory, 'f'), 'utf8')).toBe('new');
});
