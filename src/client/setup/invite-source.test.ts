import { describe, expect, it } from 'vitest';
import { takeInviteWords } from './invite-source.ts';

const token = 'ARqgirCbjsUw-yx37pbt6--pJ-lueoe-TqO6DDKd6NGWploQXpBdt6acwjuQAH6iKndlYjEuZXhhbXBsZS5uZXSGFJma';

describe('the words about an invite', () => {
  it.each([
    [['--invite'], [], { kind: 'ask' }],
    [['--invite', '-'], [], { kind: 'ask' }],
    [['--invite=-'], [], { kind: 'ask' }],
    [['--invite', '--no-timer'], ['--no-timer'], { kind: 'ask' }],
    [['--invite', '-v'], ['-v'], { kind: 'ask' }],
    [['--invite', '@/root/i'], [], { kind: 'file', path: '/root/i' }],
    [['--invite-file', '/root/i', '-v'], ['-v'], { kind: 'file', path: '/root/i' }],
    [['--invite-file=/root/i'], [], { kind: 'file', path: '/root/i' }],
    [['--invite-file', '-'], [], { kind: 'ask' }],
    [['--hostname', 'x'], ['--hostname', 'x'], undefined],
    [['--', '--invite', token], ['--', '--invite', token], undefined],
  ])('%j', (argv, rest, source) => {
    expect(takeInviteWords(argv)).toEqual({ rest, source });
  });

  it.each([[['--invite', token]], [[`--invite=${token}`]], [['-v', '--invite', token, '--no-timer']], [['--invite=']]])(
    'refuses a token among them, and does not repeat it: %j',
    (argv) => {
      let said = '';
      try {
        takeInviteWords(argv);
      } catch (error) {
        said = JSON.stringify({ ...(error as { explanation: object }).explanation });
      }
      expect(said).toContain('every user of this machine can read it');
      expect(said).not.toContain(token);
    },
  );

  it.each([[['--invite-file']], [['--invite', '@']], [['--invite', '--invite-file', 'x']]])('refuses %j', (argv) => {
    expect(() => takeInviteWords(argv)).toThrow();
  });
});
