import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseClientName, parseRunId, parseSnapshotName, snapshotNameAt, snapshotTime } from './names.ts';

describe('client names', () => {
  test.each(['web1', 'web1.example.net', 'a', '0day', 'xn--bcher-kva.example', `${'a'.repeat(63)}.b`])(
    '%s is one',
    (name) => {
      expect(parseClientName(name)).toBe(name);
    },
  );

  test.each([
    '',
    '.',
    '..',
    '/',
    'a/b',
    '../a',
    'WEB1',
    'web_1',
    'a b',
    'a..b',
    '.a',
    'a.',
    '-a',
    'a-',
    '*',
    '$(id)',
    'x;id',
    'a\nb',
    'a\u0000',
    'current',
    'snapshots',
    'localhost',
    'lost+found',
    '2026-11-20T00:00+0000',
    '%2e%2e',
    '10.0.0.1',
    '123',
    'con\u202etxt',
    'a'.repeat(64),
    `${'a.'.repeat(64)}a`,
  ])('%j is none', (name) => {
    expect(parseClientName(name)).toBeUndefined();
  });

  test('none of them can mean anything to a shell, a path or a terminal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
        const name = parseClientName(text);
        if (name !== undefined) expect(name).toMatch(/^[a-z0-9][a-z0-9.-]*$/);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('snapshot names', () => {
  test('say their time, to the second', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
        const time = new Date(seconds * 1000);
        expect(snapshotTime(snapshotNameAt(time))).toEqual(time);
      }),
    );
  });

  test('order as their times do', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e9 }), fc.integer({ min: 0, max: 4e9 }), (a, b) => {
        const [nameA, nameB] = [snapshotNameAt(new Date(a * 1000)), snapshotNameAt(new Date(b * 1000))];
        expect(Math.sign(a - b)).toBe(nameA < nameB ? -1 : nameA > nameB ? 1 : 0);
      }),
    );
  });

  test.each([
    '',
    'latest',
    'current',
    '..',
    '2026-11-20',
    '2026-11-20T03:00:00Z',
    '2026-02-30T000000Z',
    '2026-13-01T000000Z',
    '2026-11-20T240000Z',
    '2026-11-20T030000Z/',
    '../2026-11-20T030000Z',
    '2026-11-20T030000Z\n',
    '99991231T235959Z',
  ])('%j is none', (name) => {
    expect(parseSnapshotName(name)).toBeUndefined();
  });
});

describe('run ids', () => {
  test.each(['', 'x'.repeat(32), 'A'.repeat(32), '0'.repeat(31), `${'0'.repeat(32)}\n`, '0'.repeat(33)])(
    '%j is none',
    (text) => {
      expect(parseRunId(text)).toBeUndefined();
    },
  );
  test('32 hexadecimal digits are one', () => {
    expect(parseRunId('0123456789abcdef0123456789abcdef')).toBeDefined();
  });
});
