import { describe, expect, it } from 'vitest';
import { parseCommand } from './command.ts';
import { selfAttacks, whatItGot } from './self-attacks.ts';

describe('what is tried', () => {
  const plain = selfAttacks(22).filter(({ options }) => options.length === 0);

  it.each(plain)('$what', ({ command }) => {
    const parsed = parseCommand(command);
    // What the parser lets through is refused by what is asked: no run is open, the key is no admin's.
    const refusedLater = 'verb' in parsed && ['transfer', 'complete', 'register'].includes(parsed.verb);
    expect('refusal' in parsed || refusedLater).toBe(true);
  });
});

describe('what an attempt got', () => {
  it.each([
    [{ exitCode: 0, stdout: 'uid=999(byteback)\n' }, 'exit 0: uid=999(byteback)'],
    [{ exitCode: 1, stdout: 'root:x:0:0:' }, 'exit 1: root:x:0:0:'],
    [{ exitCode: 255, stdout: 'SSH-2.0-OpenSSH' }, 'exit 255: SSH-2.0-OpenSSH'],
    [{ exitCode: 0, stdout: '' }, 'exit 0'],
    [{ exitCode: 12, stdout: '{"ok":false,"exit":"refused"}\n' }, undefined],
    [{ exitCode: 255, stdout: '' }, undefined],
  ])('%o: %s', (end, expected) => {
    expect(whatItGot(end)).toBe(expected);
  });
});
