import { expect, it } from 'vitest';
import { likeOf, SentWhole } from './resent.ts';

const mebibyte = 1024 * 1024;

function runOf(before: Record<string, number>, ...files: [string, number, number?][]) {
  const sent = new SentWhole();
  for (const [path, size, wire = size] of files) sent.add(path, size, wire);
  return sent.compare(before);
}

it('the first time nothing is said, the second time it is', () => {
  const first = runOf({}, ['/var/dumps/shop.sql.gz', 20 * mebibyte]);
  expect(first.resent).toEqual([]);
  const second = runOf(first.sizes, ['/var/dumps/shop.sql.gz', 21 * mebibyte]);
  expect(second.resent).toEqual([{ path: '/var/dumps/shop.sql.gz', sizeBytes: 21 * mebibyte }]);
});

it('a dump with the day in its name is like that of the day before', () => {
  expect(likeOf('/d/shop-2026-11-20.sql.zst')).toBe(likeOf('/d/shop-2026-11-21.sql.zst'));
  const first = runOf({}, ['/d/shop-2026-11-20.sql.zst', 20 * mebibyte]);
  expect(runOf(first.sizes, ['/d/shop-2026-11-21.sql.zst', 20 * mebibyte]).resent).toHaveLength(1);
});

it.each([
  ['little of it went over the wire: it is rsyncable', '/d/a.gz', 20 * mebibyte, mebibyte],
  ['it is another size altogether', '/d/a.gz', 50 * mebibyte, 50 * mebibyte],
  ['it is not compressed', '/d/a.sql', 20 * mebibyte, 20 * mebibyte],
  ['it is small', '/d/a.gz', 1000, 1000],
])('nothing is said when %s', (_, path, size, wire) => {
  const before = { '/d/a.gz': 20 * mebibyte, '/d/a.sql': 20 * mebibyte };
  expect(runOf(before, [path, size, wire]).resent).toEqual([]);
});

it('what was not sent this time is remembered; names are escaped', () => {
  const { sizes } = runOf({ '/d/weekly.gz': 20 * mebibyte }, ['/d/\x1b.gz', 20 * mebibyte]);
  expect(sizes['/d/weekly.gz']).toBe(20 * mebibyte);
  expect(runOf(sizes, ['/d/\x1b.gz', 20 * mebibyte]).resent[0]?.path).toBe('/d/\\x1b.gz');
});
