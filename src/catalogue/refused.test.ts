import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findRefused, longestPathBytes, mostHoleBytes } from './refused.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-refused-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const all = () => true;
const pathOf = (length: number) => `/${'d'.repeat(99)}`.repeat(Math.ceil(length / 100)).slice(0, length);
const record = (path: string) => `${path}\x01f 1 1.0 1.0 1:1 1 644 0 0\0`;

function refused(paths: readonly string[], taken: (path: string) => boolean = all): string[] {
  const file = join(directory, 'scan');
  writeFileSync(file, Buffer.from(paths.map(record).join(''), 'latin1'));
  return findRefused({ file, sparse: new Map() }, taken).map(({ path, extent }) => `${extent} ${path}`);
}

it.each([0, 1, 2, 5, 30, 1000])('finds each directory with a path that is too long once, among %i others', (count) => {
  const others = Array.from({ length: count }, (_, at) => `/${at}${'o'.repeat((at * 997) % 4000)}`);
  const fits = pathOf(longestPathBytes);
  const long = `/b${pathOf(longestPathBytes - 2)}ee`;
  const below = `${pathOf(4090)}/${'x'.repeat(200)}/${'y'.repeat(5000)}`;
  const parent = (path: string) => path.slice(0, path.lastIndexOf('/'));
  const found = refused([...others, fits, long, `${long}/${'z'.repeat(9)}`, below, ...others]);
  expect(found).toEqual([`contents ${parent(long)}`, `contents ${pathOf(4090)}`]);
});

it('passes over what does not count', () => {
  expect(refused([pathOf(5000)], () => false)).toEqual([]);
});

it('leaves out files whose holes take an hour to read', () => {
  writeFileSync(join(directory, 'none'), '');
  const sparse = new Map([
    ['/srv/huge', { sizeBytes: 10 * mostHoleBytes, allocatedBytes: 0 }],
    ['/srv/image', { sizeBytes: mostHoleBytes, allocatedBytes: 4096 }],
    ['/srv/full', { sizeBytes: 10 * mostHoleBytes, allocatedBytes: 9.5 * mostHoleBytes }],
    ['/out/huge', { sizeBytes: 10 * mostHoleBytes, allocatedBytes: 0 }],
  ]);
  const found = findRefused({ file: join(directory, 'none'), sparse }, (path) => path.startsWith('/srv'));
  expect(found.map(({ path, extent }) => [path, extent])).toEqual([['/srv/huge', 'whole']]);
  expect(found[0]?.why).toContain('10,240 GiB of holes');
});
