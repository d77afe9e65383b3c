import { expect, it } from 'vitest';
import { parseSnapshotName, type SnapshotName } from '../../protocol/names.ts';
import { byNearness } from './overtaken.ts';

const name = (day: number) => parseSnapshotName(`2026-11-${String(day).padStart(2, '0')}T030000Z`) as SnapshotName;

it.each([
  [[1, 2, 5, 6], 3, [5, 6, 2, 1]],
  [[6, 5], 3, [5, 6]],
  [[1, 2], 3, [2, 1]],
  [[], 3, []],
])('of %j the next after %i is looked at first', (left, gone, expected) => {
  expect(byNearness(left.map(name), name(gone))).toEqual(expected.map(name));
});
