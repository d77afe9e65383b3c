import { describe, expect, it } from 'vitest';
import { expectedNeedBytes, freeSpaceToReach, isDueWithinADay } from './need.ts';

const dayMs = 86_400_000;
const now = Date.parse('2026-11-20T12:00:00Z');
const daily = (sizes: number[], lastAgo = dayMs / 2) =>
  sizes.map((writtenBytes, index) => ({ time: now - lastAgo - (sizes.length - 1 - index) * dayMs, writtenBytes }));

describe('expectedNeedBytes', () => {
  it('is the largest of the last ten runs of each client that is due, with a margin', () => {
    expect(expectedNeedBytes([daily([900, 1, 2, 3, 4, 5, 6, 7, 8, 40, 5])], now)).toBe(50);
    expect(expectedNeedBytes([daily([4]), daily([8])], now)).toBe(15);
  });
  it('leaves out first runs, which wrote a whole tree, and clients that are away', () => {
    const [first = { time: 0, writtenBytes: 0 }, ...rest] = daily([1000, 4, 4]);
    expect(expectedNeedBytes([[{ ...first, first: true }, ...rest]], now)).toBe(5);
    expect(expectedNeedBytes([daily([100, 100, 100], 30 * dayMs)], now)).toBe(0);
  });
  it('does not wait for weekly clients until their day comes', () => {
    const weekly = (ago: number) =>
      [0, 1, 2].map((week) => ({ time: now - ago - (2 - week) * 7 * dayMs, writtenBytes: 1 }));
    expect(isDueWithinADay(weekly(2 * dayMs), now)).toBe(false);
    expect(isDueWithinADay(weekly(6.5 * dayMs), now)).toBe(true);
  });
});

describe('freeSpaceToReach', () => {
  const limits = { startPercent: 5, stopPercent: 10 };
  it('asks for nothing between start and stop, and for stop below start', () => {
    expect(freeSpaceToReach({ freeBytes: 60, totalBytes: 1000, needBytes: 0 }, limits)).toBeUndefined();
    expect(freeSpaceToReach({ freeBytes: 49, totalBytes: 1000, needBytes: 0 }, limits)).toBe(100);
  });
  it('asks for what the next runs need, up to a limit', () => {
    expect(freeSpaceToReach({ freeBytes: 105, totalBytes: 1000, needBytes: 110 }, limits)).toBe(110);
    expect(freeSpaceToReach({ freeBytes: 124, totalBytes: 1000, needBytes: 5000 }, limits)).toBe(125);
    expect(freeSpaceToReach({ freeBytes: 125, totalBytes: 1000, needBytes: 5000 }, limits)).toBeUndefined();
  });
});
