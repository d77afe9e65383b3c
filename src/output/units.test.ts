import { describe, expect, test } from 'vitest';
import { clockOf, countInWords, durationInWords, numberInWords, rateInWords, sizeInWords } from './units.ts';

test.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1000, '0.98 KiB'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [10_240, '10 KiB'],
  [1_048_576, '1 MiB'],
  [1_047_552, '1 MiB'],
  [123_456_789, '118 MiB'],
  [4 * 1024 ** 3, '4 GiB'],
  [1.25 * 1024 ** 4, '1.25 TiB'],
  [-2048, '-2 KiB'],
])('%d bytes are %s', (bytes, words) => {
  expect(sizeInWords(bytes)).toBe(words);
});

test('a size has at most three digits, or four with the bytes below one thousand', () => {
  for (let bytes = 1; bytes < 1024 ** 5; bytes = Math.ceil(bytes * 1.01)) {
    expect(sizeInWords(bytes)).toMatch(/^(?:\d{1,3}|\d{1,2}\.\d|\d\.\d{2}) (?:bytes?|[KMGTP]iB)$/);
  }
});

test.each([
  [0, '0 ms'],
  [40.4, '40 ms'],
  [999, '999 ms'],
  [1500, '1.5 s'],
  [9940, '9.9 s'],
  [9960, '10 s'],
  [59_600, '1 min'],
  [125_000, '2 min 5 s'],
  [3_600_000, '1 h'],
  [3_599_600, '1 h'],
  [12_000_000, '3 h 20 min'],
  [86_400_000, '1 d'],
  [367_000_000, '4 d 6 h'],
])('%d ms are %s', (ms, words) => {
  expect(durationInWords(ms)).toBe(words);
});

describe('numbers', () => {
  test.each([
    [0, '0:00'],
    [7400, '0:07'],
    [754_000, '12:34'],
    [3_723_000, '1:02:03'],
    [-5, '0:00'],
  ])('%d ms on a clock: %s', (ms, words) => {
    expect(clockOf(ms)).toBe(words);
  });

  test('thousands', () => {
    expect([0, 999, 1000, 1_234_567].map(numberInWords)).toEqual(['0', '999', '1,000', '1,234,567']);
  });

  test('counts and rates', () => {
    expect([countInWords(1, 'file'), countInWords(2, 'file'), countInWords(0, 'entry', 'entries')]).toEqual([
      '1 file',
      '2 files',
      '0 entries',
    ]);
    expect(rateInWords(1_572_864.4)).toBe('1.5 MiB/s');
  });
});
