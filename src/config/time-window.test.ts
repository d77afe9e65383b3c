import { describe, expect, it } from 'vitest';
import { isInWindow, parseWindow } from './time-window.ts';

const inside = (text: string, time: string) => {
  const window = parseWindow(text);
  if (window === undefined) throw new Error(`no window: ${text}`);
  return isInWindow(window, new Date(time));
};

describe('a window', () => {
  it.each([
    ['02:00±30m UTC', '2026-11-20T01:30:00Z', '2026-11-20T02:30:00Z'],
    ['00:10±20m UTC', '2026-11-19T23:50:00Z', '2026-11-20T00:30:00Z'],
    ['23:50±20m UTC', '2026-11-20T23:30:00Z', '2026-11-21T00:10:00Z'],
    ['22:00-06:00 UTC', '2026-11-20T22:00:00Z', '2026-11-21T06:00:00Z'],
    ['09:00-17:30 America/New_York', '2026-11-20T14:00:00Z', '2026-11-20T22:30:00Z'],
    ['02:00±2h Europe/Berlin', '2026-11-19T23:00:00Z', '2026-11-20T03:00:00Z'],
  ])('%s begins and ends to the second', (text, first, last) => {
    const second = (time: string, by: number) => new Date(Date.parse(time) + by * 1000).toISOString();
    expect([second(first, -1), first, last, second(last, 1)].map((time) => inside(text, time))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it('holds all day when it is longer than a day', () => {
    expect(inside('02:00±12h UTC', '2026-11-20T14:00:01Z')).toBe(true);
  });

  it('is not lost when the clock jumps over it, and is open twice when its hour comes twice', () => {
    // 2026-03-29 in Berlin: 02:00 CET is followed by 03:00 CEST.
    expect(inside('02:30±10m Europe/Berlin', '2026-03-29T01:19:59Z')).toBe(false);
    expect(inside('02:30±10m Europe/Berlin', '2026-03-29T01:30:00Z')).toBe(true);
    expect(inside('02:30±10m Europe/Berlin', '2026-03-29T01:40:01Z')).toBe(false);
    expect(inside('03:30±10m Europe/Berlin', '2026-03-29T01:30:00Z')).toBe(true);
    // 2026-10-25: 03:00 CEST is followed by 02:00 CET.
    expect(inside('02:30±10m Europe/Berlin', '2026-10-25T00:30:00Z')).toBe(true);
    expect(inside('02:30±10m Europe/Berlin', '2026-10-25T01:30:00Z')).toBe(true);
    expect(inside('02:30±10m Europe/Berlin', '2026-10-25T02:30:00Z')).toBe(false);
  });

  it.each(['2:00±30m', '02:00', '24:00±1h', '02:00±30s', '02:00-25:00', '02:00±30m Mars/Base', '02:00±30m  UTC', ''])(
    'is not %j',
    (text) => {
      expect(parseWindow(text)).toBeUndefined();
    },
  );

  it('stands in the zone of the machine when none is named', () => {
    const now = new Date();
    const time = `${String(now.getHours()).padStart(2, '0')}:${String(now.getMinutes()).padStart(2, '0')}`;
    expect(inside(`${time}±2m`, now.toISOString())).toBe(true);
    expect(inside(`${time}±2m`, new Date(now.getTime() + 3_600_000).toISOString())).toBe(false);
  });
});
