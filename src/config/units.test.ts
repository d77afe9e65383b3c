import { describe, expect, test } from 'vitest';
import { parseDuration, parsePercent, parseSize } from './units.ts';

describe('parseDuration', () => {
  test.each([
    ['10m', 600_000],
    ['90 s', 90_000],
    ['1h 30m', 5_400_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
    ['250ms', 250],
    ['0s', 0],
  ])('%s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '10', 'm', '10x', '-10m', '10m ago', '1 0m', '1e3s', '10M', '.5h', `${'9'.repeat(20)}d`])(
    'not %j',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe('parseSize', () => {
  test.each([
    ['0', 0],
    ['4096', 4096],
    ['10 B', 10],
    ['4G', 4 * 1024 ** 3],
    ['4g', 4 * 1024 ** 3],
    ['1 GiB', 1024 ** 3],
    ['1.5MiB', 1.5 * 1024 ** 2],
    ['500 MB', 500_000_000],
    ['2T', 2 * 1024 ** 4],
    ['1KB', 1000],
  ])('%s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', 'G', '-1', '4X', '4 iB', '1,5G', '4GG', '99999999999P', '0x10', 'ten'])('not %j', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('parsePercent', () => {
  test.each([
    ['5%', 5],
    ['7.5 %', 7.5],
    ['100%', 100],
    ['0%', 0],
  ])('%s', (text, percent) => {
    expect(parsePercent(text)).toBe(percent);
  });

  test.each(['', '5', '101%', '-1%', '%', '5%%', 'five%'])('not %j', (text) => {
    expect(parsePercent(text)).toBeUndefined();
  });
});
