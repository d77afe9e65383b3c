import { describe, expect, test } from 'vitest';
import { BytebackError } from '../../errors.ts';
import type { SnapshotEntry, Version } from '../../protocol/messages.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { differentVersions, snapshotOf, whereElse, wishedSnapshot, wishedVersions } from './choice.ts';

const names = [
  '2026-11-01T030000Z',
  '2026-11-02T030000Z',
  '2026-11-03T030000Z',
  '2026-11-04T030000Z',
] as SnapshotName[];
const [first, second, third, fourth] = names as [SnapshotName, SnapshotName, SnapshotName, SnapshotName];
const snapshots: SnapshotEntry[] = names.map((snapshot) => ({ snapshot, status: 'ok' }));

function version(snapshot: SnapshotName, sizeBytes: number, further: Partial<Version> = {}): Version {
  return {
    snapshot,
    path: '/f',
    type: 'file',
    sizeBytes,
    mtime: '5.000000000',
    mode: 0o644,
    uid: 0,
    gid: 0,
    ...further,
  };
}

const rows = (versions: readonly { snapshot: string; oldest?: string }[]) =>
  versions.map(({ snapshot, oldest }) => [snapshot, oldest]);

describe('differentVersions', () => {
  test('joins what is the same in snapshots that follow each other, the newest first', () => {
    const versions = [version(first, 1), version(second, 1), version(third, 2), version(fourth, 2)];
    expect(rows(differentVersions(versions, names))).toEqual([
      [fourth, third],
      [second, first],
    ]);
  });

  test('what came back is a version of its own', () => {
    const back = [version(first, 1), version(second, 2), version(third, 1)];
    expect(rows(differentVersions(back, names))).toEqual([
      [third, third],
      [second, second],
      [first, first],
    ]);
    expect(rows(differentVersions([version(first, 1), version(third, 1)], names))).toHaveLength(2);
  });

  test.each<[string, Partial<Version>]>([
    ['a nanosecond', { mtime: '5.000000001' }],
    ['the mode', { mode: 0o600 }],
    ['the owner', { uid: 1 }],
    ['the group', { gid: 1 }],
    ['the kind', { type: 'fifo' }],
    ['the target', { target: 'x' }],
  ])('%s makes a difference', (_, further) => {
    expect(differentVersions([version(first, 1), version(second, 1, further)], names)).toHaveLength(2);
  });
});

describe('which snapshot', () => {
  test('by name, or the latest', () => {
    expect(wishedSnapshot('latest', snapshots)).toEqual({ kind: 'snapshot', snapshot: fourth });
    expect(snapshotOf(wishedSnapshot(second, snapshots), snapshots)).toBe(second);
    expect(() => wishedSnapshot('yesterday', snapshots)).toThrow(BytebackError);
  });

  test('one that does not exist: the nearest is named', () => {
    const wish = wishedSnapshot('2026-11-02T050000Z', snapshots);
    try {
      snapshotOf(wish, snapshots);
      expect.unreachable();
    } catch (error) {
      expect((error as BytebackError).explanation.why).toBe(`the nearest is ${second}`);
    }
  });

  test.each([
    ['2026-11-02T02:59:59Z', first],
    ['2026-11-02T03:00:00Z', second],
    ['2030-01-01T00:00:00Z', fourth],
  ])('at %s it is %s', (time, expected) => {
    expect(snapshotOf({ kind: 'at', time: new Date(time) }, snapshots)).toBe(expected);
  });

  test('none is as old', () => {
    const time = new Date('2026-10-31T00:00:00Z');
    expect(() => snapshotOf({ kind: 'at', time }, snapshots)).toThrow('(2026-10-31T00:00:00Z)');
  });
});

describe('wishedVersions', () => {
  const versions = [version(first, 1), version(second, 2), version(third, 2)];

  test('the newest, though the newest snapshot does not hold the path', () => {
    expect(rows(wishedVersions({ kind: 'newest' }, undefined, versions, names))).toEqual([[third, second]]);
  });

  test('that of one snapshot, and since when it is so', () => {
    expect(rows(wishedVersions({ kind: 'snapshot', snapshot: third }, third, versions, names))).toEqual([
      [third, second],
    ]);
    expect(wishedVersions({ kind: 'snapshot', snapshot: fourth }, fourth, versions, names)).toEqual([]);
  });

  test('all', () => {
    expect(wishedVersions({ kind: 'all' }, undefined, versions, names)).toHaveLength(2);
  });
});

test('whereElse names the nearest snapshots that hold a path', () => {
  const versions = [version(first, 1), version(fourth, 1)];
  expect(whereElse(second, versions, names)).toEqual({
    why: `it is not in ${second}, but before it in ${first} and after it in ${fourth}`,
    fix: `take it from there: --snapshot ${first}`,
  });
  expect(whereElse(second, [version(third, 1)], names).fix).toContain(third);
  expect(whereElse(second, [], names).why).toContain('none of the 4 snapshots');
});
