import { describe, expect, it } from 'vitest';
import { formatKeepRule, parseKeepRule, protectedByKeep } from './keep.ts';
import type { Snapshot } from './types.ts';

const dayMs = 86_400_000;
const daily = (from: string, days: number): Snapshot[] =>
  Array.from({ length: days }, (_, day) => {
    const time = Date.parse(from) + day * dayMs;
    return { name: new Date(time).toISOString(), time, status: 'ok', bornBytes: 0, diedBytes: 0 };
  });

describe('parseKeepRule', () => {
  it('reads what formatKeepRule writes', () => {
    for (const text of ['7d 4w 13m', '24h', '3y', '4q 10y']) expect(formatKeepRule(parseKeepRule(text))).toBe(text);
  });
  it('says what is wrong', () => {
    for (const text of ['', 'all', '7', '7x', '-1d', '7 d', '99999d'])
      expect(() => parseKeepRule(text)).toThrow(/is no part of a keep rule/);
    expect(() => parseKeepRule('7d 8d')).toThrow(/once only/);
  });
});

describe('protectedByKeep', () => {
  it('protects the newest of each of the newest days, weeks and months', () => {
    const kept = protectedByKeep(daily('2026-01-01T03:00:00Z', 300), parseKeepRule('7d 4w 13m'));
    const names = [...kept.keys()].map(({ name }) => name.slice(0, 10)).sort();
    // 300 days from 1 January end on 27 October, a Tuesday.
    expect(names).toEqual([
      '2026-01-31',
      '2026-02-28',
      '2026-03-31',
      '2026-04-30',
      '2026-05-31',
      '2026-06-30',
      '2026-07-31',
      '2026-08-31',
      '2026-09-30',
      '2026-10-11',
      '2026-10-18',
      '2026-10-21',
      '2026-10-22',
      '2026-10-23',
      '2026-10-24',
      '2026-10-25',
      '2026-10-26',
      '2026-10-27',
    ]);
  });

  it('does not count periods in which the client was away', () => {
    const snapshots = [...daily('2020-02-27T03:00:00Z', 4), ...daily('2026-01-01T03:00:00Z', 1)];
    const kept = [...protectedByKeep(snapshots, parseKeepRule('4d')).keys()]
      .map(({ name }) => name.slice(0, 10))
      .sort();
    expect(kept).toEqual(['2020-02-28', '2020-02-29', '2020-03-01', '2026-01-01']);
  });
});
