import { describe, expect, it } from 'vitest';
import { rsyncExitMeanings } from '../system/rsync.ts';
import { type AttemptResult, type AttemptState, decideNext, firstAttempt } from './attempts.ts';

const limits = { retryNumber: 5, retryDelayMs: 600_000 };

function rsync(exitCode: number, rest: Partial<Extract<AttemptResult, { kind: 'rsync' }>> = {}): AttemptResult {
  return { kind: 'rsync', exitCode, moved: false, diskFull: false, outcome: null, ...rest };
}

/** "again after MS", "go on: STATUS" or "give up: EXIT". */
function decide(result: AttemptResult, state: AttemptState = firstAttempt): string {
  const next = decideNext(result, state, limits);
  if (next.next === 'again') return `again after ${next.afterMs}`;
  return next.next === 'go on' ? `go on: ${next.status}` : `give up: ${next.exit}`;
}

describe('after an attempt', () => {
  it.each<[string, AttemptResult, string]>([
    ['success', rsync(0), 'go on: ok'],
    ['files vanished', rsync(24), 'go on: ok'],
    ['connection lost', rsync(255), 'again after 600000'],
    ['socket error', rsync(10), 'again after 600000'],
    ['stream error', rsync(12), 'again after 600000'],
    ['timeout', rsync(30), 'again after 600000'],
    ['connection timeout', rsync(35), 'again after 600000'],
    ['connection lost and the server cannot be asked', rsync(255, { outcome: undefined }), 'again after 600000'],
    ['files unread', rsync(23), 'again after 0'],
    ['refused', rsync(76), 'give up: refused'],
    ['refused with a reason', rsync(76, { outcome: { exit: 'tooSoon' } }), 'give up: tooSoon'],
    ['full disk, said by rsync', rsync(11, { diskFull: true }), 'give up: storeFull'],
    ['full disk, said by the server', rsync(12, { outcome: { exit: 'storeFull' } }), 'give up: storeFull'],
    ['full disk as if files were unread', rsync(23, { diskFull: true }), 'give up: storeFull'],
    ['full disk, rsync content', rsync(0, { diskFull: false }), 'go on: ok'],
    ['the old session still holds the lock', rsync(76, { outcome: { exit: 'locked' } }), 'again after 600000'],
    ['the server ended a silent session', rsync(12, { outcome: { exit: 'unreachable' } }), 'again after 600000'],
    ['file error', rsync(11), 'give up: usage'],
    ['told to end by a signal', rsync(20), 'again after 600000'],
    ['SIGUSR1', rsync(19), 'again after 600000'],
    ['its other process crashed', rsync(15), 'again after 600000'],
    ['its other process was ended', rsync(16), 'again after 600000'],
    ['no word between its processes', rsync(14), 'again after 600000'],
    ['waitpid', rsync(21), 'again after 600000'],
    ...[1, 2, 6, 9, 11, 13, 15].map((signal): [string, AttemptResult, string] => [
      `ended by signal ${signal}, here or there`,
      rsync(128 + signal),
      'again after 600000',
    ]),
    ['root’s helper was killed', rsync(76, { outcome: { exit: 'unreachable' } }), 'again after 600000'],
    ['the server was told to end', rsync(76, { outcome: { exit: 'interrupted' } }), 'again after 600000'],
    ['the disk of the store fails', rsync(12, { outcome: { exit: 'storeFailed' } }), 'give up: storeFailed'],
    ['the store is not mounted', rsync(12, { outcome: { exit: 'notBtrfs' } }), 'give up: notBtrfs'],
    [
      'complete: root’s helper was killed',
      { kind: 'refusal', exit: 'unreachable', step: 'later' },
      'again after 600000',
    ],
    [
      'prepare: a program there was killed',
      { kind: 'refusal', exit: 'interrupted', step: 'prepare' },
      'again after 600000',
    ],
    [
      'prepare: the store can only be read',
      { kind: 'refusal', exit: 'storeFailed', step: 'prepare' },
      'give up: storeFailed',
    ],
    ['out of memory', rsync(22), 'give up: usage'],
    ['no rsync', rsync(127), 'give up: usage'],
    ['versions that do not fit', rsync(2), 'give up: usage'],
    ['bad option', rsync(1), 'give up: usage'],
    ['no connection', { kind: 'connection', final: false }, 'again after 600000'],
    ['host key or key refused', { kind: 'connection', final: true }, 'give up: refused'],
    ['prepare: too soon', { kind: 'refusal', exit: 'tooSoon', step: 'prepare' }, 'give up: tooSoon'],
    ['prepare: another run', { kind: 'refusal', exit: 'locked', step: 'prepare' }, 'give up: locked'],
    ['later: the lock is held', { kind: 'refusal', exit: 'locked', step: 'later' }, 'again after 600000'],
    ['later: store full', { kind: 'refusal', exit: 'storeFull', step: 'later' }, 'give up: storeFull'],
  ])('%s', (_, result, expected) => {
    expect(decide(result)).toBe(expected);
  });

  it('no end that rsync or ssh have is called a bug', () => {
    for (const exitCode of [
      ...Object.keys(rsyncExitMeanings).map(Number),
      ...Array.from({ length: 126 }, (_, n) => 129 + n),
    ]) {
      expect(`${exitCode}: ${decide(rsync(exitCode))}`).not.toContain('bug');
    }
  });

  it('files that stay unread make a partial run', () => {
    expect(decide(rsync(23), { failedInRow: 0, triedUnreadAgain: true })).toBe('go on: partial');
  });

  it('there are five more, and then no more', () => {
    let state = firstAttempt;
    const seen: string[] = [];
    for (let attempt = 1; attempt < 20; attempt += 1) {
      const next = decideNext(rsync(255), state, limits);
      seen.push(next.next);
      if (next.next !== 'again') break;
      state = next.state;
    }
    expect(seen).toEqual(['again', 'again', 'again', 'again', 'again', 'give up']);
  });

  it('the count starts anew when bytes moved', () => {
    const next = decideNext(rsync(255, { moved: true }), { failedInRow: 5, triedUnreadAgain: false }, limits);
    expect(next).toEqual({ next: 'again', afterMs: 600_000, state: { failedInRow: 1, triedUnreadAgain: false } });
  });

  it('none are made when none are wanted', () => {
    expect(decideNext(rsync(255), firstAttempt, { retryNumber: 0, retryDelayMs: 1 })).toMatchObject({
      next: 'give up',
    });
    expect(decideNext(rsync(255, { moved: true }), firstAttempt, { retryNumber: 0, retryDelayMs: 1 })).toMatchObject({
      next: 'give up',
    });
  });
});
