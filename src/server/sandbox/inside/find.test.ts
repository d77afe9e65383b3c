import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FoundRowSchema } from '../../../protocol/messages.ts';
import { changesInside } from './changes.ts';
import { findInside } from './find.ts';
import { compareNames, namesOf, walk } from './walk.ts';

const before = '2026-11-20T030000Z';
const after = '2026-11-21T030000Z';
const home = process.cwd();
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-find-'));
  process.chdir(directory);
  for (const snapshot of [before, after]) {
    for (const path of ['etc/ssh', 'etc/.d', 'srv/many']) mkdirSync(`${snapshot}/fs/${path}`, { recursive: true });
    for (const path of ['etc/hosts', 'etc/ssh/sshd_config', 'etc/.d/x', 'srv/a'])
      writeFileSync(`${snapshot}/fs/${path}`, path);
  }
});
afterEach(() => {
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

const request = (value: unknown) => Buffer.from(JSON.stringify(value));
/** Rows and the last line, as the client reads them. */
const linesOf = async (asked: object) => {
  const lines: string[] = [];
  for await (const some of findInside(request(asked))) lines.push(...some.trimEnd().split('\n'));
  return lines.map((line) => JSON.parse(line));
};
const find = async (...patterns: string[]) => {
  const rows = await linesOf({ snapshot: before, patterns });
  expect(rows.pop()).toEqual({ ok: true });
  return rows.map((row) => v.parse(FoundRowSchema, row).path);
};

test('finds what matches, in order, also names that begin with a dot', async () => {
  expect(await find('/etc/**')).toEqual(['/etc/.d', '/etc/.d/x', '/etc/hosts', '/etc/ssh', '/etc/ssh/sshd_config']);
  expect(await find('/*/*s*', '/srv/a')).toEqual(['/etc/hosts', '/etc/ssh', '/srv/a']);
  expect(await find('/nowhere/**')).toEqual([]);
});

test('never goes through a link, and never upwards', async () => {
  symlinkSync('/etc', `${before}/fs/srv/link`);
  symlinkSync('..', `${before}/fs/up`);
  expect(await find('/srv/link/*', '/up/**')).toEqual([]);
  expect(await find('/../*', '/srv/../etc/hosts')).toEqual([]);
});

test('rows leave before the walk ends, and what goes on after one of them gives the rest', {
  timeout: 60_000,
}, async () => {
  for (let number = 0; number < 2500; number += 1) writeFileSync(`${before}/fs/srv/many/${number}`, '');
  const found = findInside(request({ snapshot: before, patterns: ['/**'] }));
  const first = (await found.next()).value
    .trimEnd()
    .split('\n')
    .map((line: string) => JSON.parse(line).path);
  // Two batches at most were walked by now: what comes after them is not seen yet.
  for (let number = 0; number < 2500; number += 1) rmSync(`${before}/fs/srv/many/${number}`);
  await expect(
    (async () => {
      for await (const _ of found);
    })(),
  ).rejects.toThrow('ENOENT');
  expect(first.length).toBeLessThan(2000);
  for (let number = 0; number < 2500; number += 1) writeFileSync(`${before}/fs/srv/many/${number}`, '');
  const all = await find('/**');
  expect(all).toHaveLength(2500 + 9);
  expect(new Set(all).size).toBe(all.length);
  const ordered = all.map((path) => namesOf(Buffer.from(path)));
  expect(ordered.toSorted(compareNames)).toEqual(ordered);
  const after = first.at(-1);
  const rest = (await linesOf({ snapshot: before, patterns: ['/**'], after })).slice(0, -1).map(({ path }) => path);
  expect([...first, ...rest]).toEqual(all);
});

test('a walk that goes on after any entry gives exactly the rest', () => {
  const root = `./${before}/fs`;
  const walked = (from?: readonly string[]) =>
    Array.from(walk({ root, below: [], after: from, enters: () => true }), ({ names }) => names.join('/'));
  const all = walked();
  for (const [at, path] of all.entries()) expect(walked(namesOf(Buffer.from(path)))).toEqual(all.slice(at + 1));
});

test('says what differs between two snapshots', async () => {
  writeFileSync(`${after}/fs/etc/new`, 'new');
  rmSync(`${after}/fs/srv/a`);
  writeFileSync(`${after}/fs/etc/hosts`, 'longer than it was');
  rmSync(`${after}/fs/etc/.d`, { recursive: true });
  writeFileSync(`${after}/fs/etc/.d`, 'a file now');
  const { changes } = await changesInside(request({ from: before, to: after, path: '/' }));
  // Everything has another inode in this test, so that all else is listed with its attributes.
  expect(changes.filter(({ change }) => change !== 'attributes' && change !== 'content')).toEqual([
    { path: '/etc/.d/x', change: 'removed', sizeBefore: 8, sizeAfter: null },
    { path: '/etc/new', change: 'added', sizeBefore: null, sizeAfter: 3 },
    { path: '/srv/a', change: 'removed', sizeBefore: 5, sizeAfter: null },
  ]);
  expect(changes).toContainEqual({ path: '/etc/hosts', change: 'content', sizeBefore: 9, sizeAfter: 18 });
  expect(changes).toContainEqual({ path: '/etc/.d', change: 'content', sizeBefore: 0, sizeAfter: 10 });
  expect((await changesInside(request({ from: before, to: before, path: '/' }))).changes).toEqual([]);
  const below = await changesInside(request({ from: before, to: after, path: '/srv', after: '/srv/a' }));
  expect(below.changes.map(({ path }) => path)).toEqual(['/srv/many']);
});
