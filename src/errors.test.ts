import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BytebackError, type ExitName, exitCodes, exitMeanings, exitNameOf } from './errors.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

describe('exit codes', () => {
  test.each(Object.keys(exitCodes) as ExitName[])('the README says what %s means', (name) => {
    expect(readme).toContain(`| ${exitCodes[name]} | ${exitMeanings[name]} |`);
  });

  test('no two are the same, and none is one of rsync or ssh', () => {
    const codes = Object.values(exitCodes);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes).not.toContain(76);
    expect(codes).not.toContain(255);
  });

  test('a number that is none of ours has no name', () => {
    expect(exitNameOf(13)).toBe('storeFull');
    expect(exitNameOf(99)).toBeUndefined();
  });

  test('an error decides the code that the process ends with', () => {
    expect(new BytebackError('tooSoon', { what: 'x' }).exitCode).toBe(15);
  });
});
