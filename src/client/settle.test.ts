import { describe, expect, it } from 'vitest';
import type { Entry } from '../catalogue/record.ts';
import type { Stored } from '../protocol/stored.ts';
import { type Difference, lostFiles, type Now, nameBehindTemporary, planMending, StoreComparison } from './settle.ts';

const seen = (path: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: 'f',
  sizeBytes: 3,
  mtime: '1.0000000000',
  ctime: '2.0000000000',
  inode: `1:${path}`,
  links: 1,
  rights: '644 0 0',
  ...more,
});
const has = (path: string, more: Partial<Stored> = {}): Stored => ({
  path,
  type: 'f',
  sizeBytes: 3,
  mtime: '1.0000000000',
  inode: path,
  links: 1,
  ...more,
});
type Pair = readonly [Entry | undefined, Stored | undefined];
function told(...pairs: readonly Pair[]): string[] {
  const comparison = new StoreComparison();
  for (const [entry, stored] of pairs) comparison.note(entry, stored);
  return comparison.end().map(({ kind, path }) => `${kind} ${path}`);
}

describe('what the store has against what the scan saw', () => {
  it.each<[string, Pair, string[]]>([
    ['the same', [seen('/a'), has('/a')], []],
    ['nothing there', [seen('/a'), undefined], ['missing /a']],
    ['nothing here', [undefined, has('/a')], ['excess /a']],
    ['another size', [seen('/a'), has('/a', { sizeBytes: 4 })], ['other /a']],
    ['a nanosecond', [seen('/a'), has('/a', { mtime: '1.0000000010' })], ['other /a']],
    ['a directory there', [seen('/a'), has('/a', { type: 'd' })], ['other /a']],
    ['a file there', [seen('/a', { type: 'd' }), has('/a')], ['other /a']],
    ["a directory's size says nothing", [seen('/a', { type: 'd', sizeBytes: 4096 }), has('/a', { type: 'd' })], []],
    ['a link is a file there', [seen('/a', { type: 'l', sizeBytes: 9 }), has('/a')], []],
    ['alone here, shared there', [seen('/a'), has('/a', { links: 2 })], ['links /a']],
    ['shared with names outside of the run', [seen('/a', { links: 2 }), has('/a')], []],
  ])('%s', (_, pair, expected) => {
    expect(told(pair)).toEqual(expected);
  });

  const one = { inode: '1:7', links: 2 };
  const two = { inode: '1:8', links: 2 };
  it('names of one file are one there', () => {
    const stored = { inode: '7', links: 2 };
    expect(told([seen('/a', one), has('/a', stored)], [seen('/b', one), has('/b', stored)])).toEqual([]);
    expect(told([seen('/a', one), has('/a')], [seen('/b', one), has('/b')])).toEqual(['links /a', 'links /b']);
  });

  it('names of two files are two there, on two devices with the same inodes, too', () => {
    const stored = { inode: '7', links: 2 };
    const names = ['links /a', 'links /b'];
    expect(told([seen('/a', one), has('/a', stored)], [seen('/b', two), has('/b', stored)])).toEqual(names);
    const other = { inode: '2:7', links: 2 };
    expect(told([seen('/a', one), has('/a', stored)], [seen('/b', other), has('/b', stored)])).toEqual(names);
  });
});

describe('what is put right at once', () => {
  const differences: Difference[] = [
    { path: '/sent', kind: 'missing', expected: seen('/sent') },
    { path: '/changed', kind: 'missing', expected: seen('/changed') },
    { path: '/linked', kind: 'links', expected: seen('/linked'), stored: has('/linked') },
    { path: '/gone', kind: 'excess', stored: has('/gone', { type: 'd' }) },
    { path: '/gone/below', kind: 'excess', stored: has('/gone/below') },
    { path: '/came', kind: 'excess', stored: has('/came') },
    { path: '/hidden', kind: 'excess', stored: has('/hidden') },
  ];
  const now = (path: string): Now =>
    (({ '/sent': 'as scanned', '/linked': 'as scanned', '/changed': 'other', '/came': 'other', '/hidden': 'unknown' })[
      path
    ] ?? 'gone') as Now;

  it('is what is here as it was seen, and what is not here; nothing that cannot be told', () => {
    expect(planMending(differences, now)).toEqual({
      send: ['/sent', '/linked'],
      remove: ['/gone'],
      separate: ['/linked'],
    });
  });

  it('what is missing then is lost, unless it changed or is a directory of another time', () => {
    const directory = seen('/directory', { type: 'd' });
    const more: Difference[] = [{ path: '/directory', kind: 'other', expected: directory, stored: has('/directory') }];
    expect(lostFiles([...differences, ...more], (path) => (path === '/directory' ? 'as scanned' : now(path)))).toEqual([
      '/sent',
    ]);
  });
});

it("knows rsync's names for the time being", () => {
  expect(nameBehindTemporary('/d/.name.JIc93T')).toBe('/d/name');
  expect(nameBehindTemporary('/d/..hidden.JIc93T')).toBe('/d/.hidden');
  expect(nameBehindTemporary('/d/name.JIc93T')).toBeUndefined();
  expect(nameBehindTemporary('/d/.name.JIc93')).toBeUndefined();
});
