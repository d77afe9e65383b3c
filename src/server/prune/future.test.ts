import { expect, test } from 'vitest';
import type { ClientName } from '../../protocol/names.ts';
import { planRenaming } from './future.ts';

const web1 = 'web1' as ClientName;
const now = Date.parse('2026-11-20T12:00:00Z');
const named = (...names: string[]) =>
  names.map((name) => ({
    name,
    time: Date.parse(`${name.slice(0, 13)}:${name.slice(13, 15)}:${name.slice(15)}`),
  }));

test('those of a time to come get the seconds after the newest that is right, in their order', () => {
  const snapshots = named('2031-01-02T000000Z', '2026-11-19T030000Z', '2031-01-01T000000Z');
  expect(planRenaming(web1, snapshots, now)).toEqual([
    { client: web1, from: '2031-01-01T000000Z', to: '2026-11-19T030001Z' },
    { client: web1, from: '2031-01-02T000000Z', to: '2026-11-19T030002Z' },
  ]);
});

test('where none is right the last of them is of now', () => {
  expect(planRenaming(web1, named('2031-01-01T000000Z', '2031-01-02T000000Z'), now).map(({ to }) => to)).toEqual([
    '2026-11-20T115959Z',
    '2026-11-20T120000Z',
  ]);
});

test('a clock that is some minutes off is no clock that was wrong', () => {
  expect(planRenaming(web1, named('2026-11-20T123000Z'), now)).toEqual([]);
});
