import type { BigIntStats } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ListedEntry } from '../../protocol/tree-list.ts';
import { differenceOf } from './difference.ts';

const entry: ListedEntry = {
  name: 'a',
  type: 'file',
  mode: 0o644,
  uid: 1,
  gid: 2,
  sizeBytes: 5,
  mtimeNs: 1_763_600_001_123_456_789n,
  linkGroup: '',
  device: '',
  onTheWay: false,
  target: '',
  held: { rights: false, label: false, foreign: false },
  attributes: '',
};
const stat = {
  mode: 0o100644n,
  uid: 1n,
  gid: 2n,
  size: 5n,
  mtimeNs: 1_763_600_001_123_456_789n,
  rdev: 0n,
} as BigIntStats;
const close = { rights: true, directoryTimes: true };

describe('a name that is', () => {
  test.each<[string, Partial<ListedEntry>, Partial<BigIntStats> | undefined, string | undefined]>([
    ['as it was', {}, {}, undefined],
    ['missing', {}, undefined, 'it is missing'],
    ['shorter', {}, { size: 4n }, 'size'],
    ['newer', {}, { mtimeNs: 1_763_600_001_123_456_790n }, 'time'],
    ['of another mode', {}, { mode: 0o100600n }, 'mode'],
    ['setuid no more', { mode: 0o4644 }, {}, 'mode'],
    ["another user's", {}, { uid: 9n }, 'owner'],
    ["another group's", {}, { gid: 9n }, 'group'],
    ['a directory now', {}, { mode: 0o40755n }, 'it is a directory, and a file in the snapshot'],
    ['a link now', { type: 'directory', mode: 0o755 }, { mode: 0o120777n }, 'it is a link, and a directory'],
    ['not read by the server', { type: 'unreadable' }, {}, 'the server'],
    ['of a record that is corrupt', { mode: null, uid: 0, gid: 0 }, {}, undefined],
    ['on a disk that counts in seconds', {}, { mtimeNs: 1_763_600_001_000_000_000n }, undefined],
    ['on FAT', {}, { mtimeNs: 1_763_600_000_000_000_000n }, undefined],
    ['on a disk that counts in microseconds', {}, { mtimeNs: 1_763_600_001_123_456_000n }, undefined],
    ['a second older', {}, { mtimeNs: 1_763_599_999_000_000_000n }, 'time'],
    ['another device', { type: 'character', device: '1,3' }, { mode: 0o20644n, rdev: 0x105n }, 'device'],
    ['the same device', { type: 'character', device: '1,3' }, { mode: 0o20644n, rdev: 0x103n }, undefined],
    ['a large device', { type: 'block', device: '259,1048575' }, { mode: 0o60644n, rdev: 0xfff103ffn }, undefined],
  ])('%s', (_, listed, found, expected) => {
    const why = differenceOf(
      { ...entry, ...listed },
      found === undefined ? undefined : { ...stat, ...found },
      undefined,
      close,
    );
    if (expected === undefined) expect(why).toBeUndefined();
    else expect(why).toContain(expected);
  });

  test('a link to elsewhere differs', () => {
    const link = { ...entry, type: 'link', target: '/a' } as const;
    const found = { ...stat, mode: 0o120777n };
    expect(differenceOf(link, found, '/b', close)).toContain('target');
    expect(differenceOf(link, found, '/a', close)).toBeUndefined();
  });

  test('owners and modes count only where they can be given, and times of directories where nobody else works', () => {
    const others = { ...stat, uid: 9n, mode: 0o100600n };
    expect(differenceOf(entry, others, undefined, { ...close, rights: false })).toBeUndefined();
    const directory = { ...entry, type: 'directory', mode: 0o755 } as const;
    const later = { ...stat, mode: 0o40755n, mtimeNs: 9n };
    expect(differenceOf(directory, later, undefined, close)).toContain('time');
    expect(differenceOf(directory, later, undefined, { ...close, directoryTimes: false })).toBeUndefined();
  });
});
