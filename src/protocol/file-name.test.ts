import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapeName, unescapeName } from './file-name.ts';

describe('the escaped form of file names', () => {
  test('turns back into the same bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(unescapeName(escapeName(bytes))).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 5000 },
    );
  });

  test('turns back into the same text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(unescapeName(escapeName(text)).toString()).toBe(text);
      }),
    );
  });

  test('never holds what a terminal, a log or a page could take for a command', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.string({ unit: 'binary' })), (name) => {
        expect(escapeName(name)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u);
      }),
      { numRuns: 5000 },
    );
  });

  test.each([
    ['plain.txt', 'plain.txt'],
    ['Grüße 東京 🙂', 'Grüße 東京 🙂'],
    ['a\\b', 'a\\\\b'],
    ['line\nbreak', 'line\\x0abreak'],
    ['\u001b[2Jgone', '\\x1b[2Jgone'],
    ['c1 \u009b31m', 'c1 \\xc2\\x9b31m'],
    ['con\u202etxt.exe', 'con\\xe2\\x80\\xaetxt.exe'],
    ['\ufeffmark', '\\xef\\xbb\\xbfmark'],
  ])('%j is shown as %s', (name, shown) => {
    expect(escapeName(name)).toBe(shown);
  });

  test.each([
    [[0xff, 0x41], '\\xffA'],
    [[0xc0, 0xaf], '\\xc0\\xaf'],
    [[0xed, 0xa0, 0x80], '\\xed\\xa0\\x80'],
    [[0xe2, 0x82], '\\xe2\\x82'],
    [[0xf4, 0x90, 0x80, 0x80], '\\xf4\\x90\\x80\\x80'],
  ])('invalid UTF-8 %j is shown byte by byte', (bytes, shown) => {
    expect(escapeName(Uint8Array.from(bytes))).toBe(shown);
  });

  test('a backslash that starts no escape stands for itself', () => {
    expect(unescapeName('a\\q\\x4').toString()).toBe('a\\q\\x4');
  });
});
