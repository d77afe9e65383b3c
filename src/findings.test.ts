import { expect, test } from 'vitest';
import { BytebackError } from './errors.ts';
import { examine, exitOf } from './findings.ts';

const ok = { area: 'one', look: async () => 'well' };
const warning = { area: 'two', look: async () => ({ state: 'warning', what: 'odd', fix: 'look' }) as const };
const unreachable = {
  area: 'three',
  look: async (): Promise<string> => {
    throw new BytebackError('unreachable', { what: 'away', why: 'refused', fix: 'start it' });
  },
};
const bug = {
  area: 'four',
  look: async (): Promise<string> => {
    throw new TypeError('x is not a function');
  },
};

test('every check is made, whatever another throws', async () => {
  const seen: string[] = [];
  const findings = await examine([unreachable, bug, warning, ok], (area) => seen.push(area));
  expect(seen).toEqual(['three', 'four', 'two', 'one']);
  expect(findings).toEqual([
    { area: 'three', state: 'failure', what: 'away', why: 'refused', fix: 'start it', exit: 'unreachable' },
    { area: 'four', state: 'failure', what: 'x is not a function', exit: 'usage' },
    { area: 'two', state: 'warning', what: 'odd', fix: 'look' },
    { area: 'one', state: 'ok', what: 'well' },
  ]);
});

test('a check may find several things, or nothing', async () => {
  const several = { area: 'many', look: async () => ['a', { state: 'failure', what: 'b' } as const] };
  const findings = await examine([several, { area: 'none', look: async () => [] }]);
  expect(findings).toEqual([
    { area: 'many', state: 'ok', what: 'a' },
    { area: 'many', state: 'failure', what: 'b' },
  ]);
});

test.each([
  ['all well', [ok], 'ok'],
  ['warnings do not count', [ok, warning], 'ok'],
  ['the first failure decides', [warning, unreachable, bug], 'unreachable'],
  ['an unforeseen one is told as configuration', [bug], 'usage'],
  ['nothing looked at', [], 'ok'],
])('%s', async (_, checks, exit) => {
  expect(exitOf(await examine(checks))).toBe(exit);
});

test('a failed program is no bug of ours here', async () => {
  const failing = {
    area: 'program',
    look: async (): Promise<string> => {
      throw new BytebackError('bug', { what: 'sshd failed' });
    },
  };
  expect(exitOf(await examine([failing]))).toBe('usage');
});
