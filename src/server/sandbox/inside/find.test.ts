import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
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
const find = async (...patterns: string[]) =>
  (await findInside(request({ snapshot: before, patterns }))).versions.map(({ path }) => path);

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

test('page by page gives the same as at once', { timeout: 60_000 }, async () => {
  // Long names, so that a page is soon full.
  const long = 'x'.repeat(240);
  for (let number = 0; number < 1800; number += 1) writeFileSync(`${before}/fs/srv/many/${number}${long}`, '');
  const all: string[] = [];
  let pages = 0;
  for (let from: string | undefined; ; pages += 1) {
    const page = await findInside(
      request({ snapshot: before, patterns: ['/**'], ...(from === undefined ? {} : { after: from }) }),
    );
    all.push(...page.versions.map(({ path }) => path));
    from = page.next;
    if (from === undefined) break;
  }
  expect(pages).toBeGreaterThan(0);
  expect(all).toHaveLength(1800 + 9);
  expect(new Set(all).size).toBe(all.length);
  const ordered = all.map((path) => namesOf(Buffer.from(path)));
  expect(ordered.toSorted(compareNames)).toEqual(ordered);
});

test('a walk that goes on after any entry gives exactly the rest', () => {
  const root = Buffer.from(`./${before}/fs`);
  const walked = (from?: readonly Buffer[]) =>
    [...walk({ root, below: [], after: from, enters: () => true })].map(({ names }) => names.join('/'));
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
