import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { atPlace, openPlace, statPlace } from '../../../system/deep-place.ts';
import { run } from '../../../system/run.ts';
import { changesInside } from './changes.ts';
import { findInside } from './find.ts';
import { pickInside } from './pick.ts';
import { unreadableInside } from './unreadable.ts';
import { versionsInside } from './versions.ts';

const [before, after] = ['2026-11-20T030000Z', '2026-11-21T030000Z'];
const home = process.cwd();
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-deep-'));
  process.chdir(directory);
});
afterEach(() => {
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

/** Makes a directory below another by steps, however long its path becomes, with one file in it. Gives the path of the file. */
function makeDeep(top: string, name: string, depth: number, leaf: string): string {
  mkdirSync(top, { recursive: true });
  process.chdir(top);
  for (let at = 0; at < depth; at += 1) {
    mkdirSync(name, { recursive: true });
    process.chdir(name);
  }
  writeFileSync(leaf, 'deep');
  process.chdir(directory);
  return `/${`${name}/`.repeat(depth)}${leaf}`;
}

const request = (value: unknown) => Buffer.from(JSON.stringify(value));
async function rowsOf(lines: AsyncGenerator<string>): Promise<{ path?: string }[]> {
  const rows: { path?: string }[] = [];
  for await (const some of lines)
    for (const line of some.trimEnd().split('\n')) rows.push(JSON.parse(line) as { path?: string });
  expect(rows.pop()).toEqual({ ok: true });
  return rows;
}

async function allChanges() {
  const all: { path: string }[] = [];
  for (let next: string | undefined; ; ) {
    const asked = { from: before, to: after, path: '/', ...(next === undefined ? {} : { after: next }) };
    const page = await changesInside(request(asked));
    all.push(...page.changes);
    if (page.next === undefined) return all;
    next = page.next;
  }
}

// Below, at and beyond what the kernel takes in one call, with `./SNAPSHOT/fs` before it and without.
test.each([3990, 4000, 4001, 4070, 4071, 4080, 4094, 4095, 4096, 4097, 8191, 12_345])(
  'a path of %i bytes is listed, and so is all else',
  async (length) => {
    const name = 'n'.repeat(99);
    const depth = Math.floor((length - 100) / 100);
    const leaf = 'l'.repeat(length - 1 - depth * 100);
    const path = makeDeep(`${before}/fs`, name, depth, leaf);
    expect(path).toHaveLength(length);
    makeDeep(`${after}/fs`, name, depth, leaf);
    for (const snapshot of [before, after]) {
      mkdirSync(`${snapshot}/fs/z`);
      writeFileSync(`${snapshot}/fs/z/other`, 'other');
    }
    const found = (await rowsOf(findInside(request({ snapshot: before, patterns: ['/**'] })))).map((row) => row.path);
    expect(found).toContain(path);
    expect(found).toContain('/z/other');
    expect(found).toHaveLength(depth + 3);
    const changes = await allChanges();
    expect(changes.map((change) => change.path)).toContain(path);
    expect(changes.map((change) => change.path)).toContain('/z/other');
    const { files } = await pickInside(request({ snapshot: before, count: 10, maxBytes: 1_000_000 }));
    expect(files.map((file) => file.path).toSorted()).toEqual([path, '/z/other'].toSorted());
    expect(files.every(({ sha256 }) => sha256 !== null)).toBe(true);
    const { versions } = await versionsInside(request({ snapshots: [before, after], paths: [path, '/z/other'] }));
    expect(versions.map((version) => version.path)).toEqual([path, path, '/z/other', '/z/other']);
    mkdirSync('snapshots');
    for (const snapshot of [before, after]) symlinkSync(`../${snapshot}`, `snapshots/${snapshot}`);
    const trees = [before, after].map((snapshot) => `snapshots/${snapshot}`);
    expect(await rowsOf(unreadableInside(request({ trees })))).toEqual([]);
  },
);

test('a name that the protocol cannot carry hides nothing else', async () => {
  makeDeep(`${before}/fs`, `\x01${'n'.repeat(98)}`, 200, 'leaf');
  writeFileSync(`${before}/fs/other`, 'other');
  const found = await rowsOf(findInside(request({ snapshot: before, patterns: ['/**'] })));
  expect(found.map(({ path }) => path)).toContain('/other');
  expect(found.every(({ path }) => (path?.length ?? 0) <= 16_384)).toBe(true);
});

test('many deep files do not use up the open files', async () => {
  const path = makeDeep(`${before}/fs`, 'n'.repeat(99), 45, 'leaf');
  process.chdir(`${before}/fs`);
  for (let at = 0; at < 45; at += 1) process.chdir('n'.repeat(99));
  for (let at = 0; at < 1500; at += 1) appendFileSync(`f${at}`, '');
  process.chdir(directory);
  const found = await rowsOf(findInside(request({ snapshot: before, patterns: ['/**'] })));
  expect(found).toHaveLength(45 + 1501);
  expect(found.map((row) => row.path)).toContain(path);
});

test('what rsync recorded of a deep file is read', async () => {
  const path = makeDeep(`${before}/fs`, 'n'.repeat(99), 45, 'leaf');
  const { place, close } = openPlace(Buffer.from(`./${before}/fs${path}`));
  await run(['setfattr', '-n', 'user.rsync.%stat', '-v', '100640 0,0 12:34', place.toString()]);
  close();
  const found = await rowsOf(findInside(request({ snapshot: before, patterns: ['/**'] })));
  expect(found.find((row) => row.path === path)).toMatchObject({ mode: 0o640, uid: 12, gid: 34 });
  const { versions } = await versionsInside(request({ snapshots: [before], paths: [path] }));
  expect(versions).toMatchObject([{ mode: 0o640, uid: 12, gid: 34 }]);
});

test('steps go through no link', () => {
  makeDeep('real', 'n'.repeat(99), 45, 'leaf');
  const long = `real/${`${'n'.repeat(99)}/`.repeat(45)}leaf`;
  expect(statPlace(Buffer.from(long))?.isFile()).toBe(true);
  symlinkSync('real', 'link');
  expect(statPlace(Buffer.from(long.replace('real', 'link')))?.isFile()).toBe(true);
  process.chdir('real');
  for (let at = 0; at < 33; at += 1) process.chdir('n'.repeat(99));
  // Where a step ends.
  symlinkSync('n'.repeat(99), 'm'.repeat(99));
  process.chdir(directory);
  const parts = long.split('/');
  parts[34] = 'm'.repeat(99);
  const through = Buffer.from(parts.join('/'));
  const { place, close } = openPlace(Buffer.from(long));
  expect(place.length).toBeLessThan(4096);
  close();
  expect(statPlace(through)).toBeUndefined();
  expect(() => atPlace(through, () => undefined)).toThrow(/ENOTDIR|ELOOP/);
  expect(statPlace(Buffer.from(`${long}x`))).toBeUndefined();
});
