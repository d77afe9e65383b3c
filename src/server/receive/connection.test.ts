import { expect, test } from 'vitest';
import { isThere, parseStat, sessionOfSshd } from './connection.ts';

test('a name in brackets words no field', () => {
  const fields = ['S', '7', ...Array.from({ length: 17 }, () => '0'), '4711', '9'].join(' ');
  expect(parseStat(`12 (sshd) S 1 (x) ${fields}`)).toEqual({
    name: 'sshd) S 1 (x',
    state: 'S',
    parent: 7,
    startedAt: '4711',
  });
});

test('a process is known by its number and its start', async () => {
  expect(await sessionOfSshd(1)).toBeUndefined();
  expect(await isThere({ pid: process.pid, startedAt: 'another' })).toBe(false);
  expect(await isThere({ pid: 2 ** 22 + 1, startedAt: '1' })).toBe(false);
});
