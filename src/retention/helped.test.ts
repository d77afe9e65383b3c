import { describe, expect, it } from 'vitest';
import { helpsNoMore } from './helped.ts';

const mebibyte = 1024 * 1024;
const gave = (expectedBytes: number, freedBytes: number) => ({ expectedBytes, freedBytes });

describe('helpsNoMore', () => {
  it.each([
    ['two that gave nothing', [gave(mebibyte, 0), gave(mebibyte, 0)], true],
    ['two that gave a tenth', [gave(10 * mebibyte, mebibyte), gave(10 * mebibyte, mebibyte)], true],
    ['one alone', [gave(mebibyte, 0)], false],
    ['one that helped between', [gave(mebibyte, 0), gave(mebibyte, mebibyte), gave(mebibyte, 0)], false],
    ['what was to give next to nothing', [gave(mebibyte, 0), gave(100, 0)], false],
    ['what says nothing between two that did not help', [gave(mebibyte, 0), gave(100, 0), gave(mebibyte, 0)], true],
  ])('%s', (_, yields, stops) => {
    expect(helpsNoMore(yields)).toBe(stops);
  });
});
