import { describe, expect, it } from 'vitest';
import { decideLocks } from './locked-directories.ts';

const now = Date.parse('2026-11-20T03:00:00Z');
const before = [{ path: '/home/eva', seenAt: now - 86_400_000 }];
const all = { now, mattering: () => true };
const locked = { path: '/home/eva', isLocked: true };
const open = { path: '/home/eva', isLocked: false };

describe('an encrypted directory', () => {
  it('that is locked is kept, and the day is told when it was last open', () => {
    const decision = decideLocks([locked], before, all);
    expect(decision).toMatchObject({ open: [], remembered: before });
    expect(decision.locked).toEqual([
      { path: '/home/eva', extent: 'contents', why: expect.stringContaining('last open on 2026-11-19') },
    ]);
  });

  it('that was never open has no backup, and that is told', () => {
    expect(decideLocks([locked], [], all).locked).toEqual([
      { path: '/home/eva', extent: 'contents', why: expect.stringContaining('never open') },
    ]);
  });

  it('that is open is remembered', () => {
    expect(decideLocks([open], before, all)).toEqual({
      locked: [],
      open: ['/home/eva'],
      remembered: [{ path: '/home/eva', seenAt: now }],
    });
  });

  it('that is not found, as on a disk that is away, stays remembered', () => {
    expect(decideLocks([], before, all).remembered).toEqual(before);
  });

  it('that the run does not take is nothing to tell or to remember', () => {
    const nothing = { locked: [], open: [], remembered: [] };
    expect(decideLocks([locked], before, { now, mattering: () => false })).toEqual(nothing);
  });

  it('that lies in another one is one with it', () => {
    const inner = { path: '/home/eva/deep', isLocked: false };
    expect(decideLocks([inner, open], [], all).open).toEqual(['/home/eva']);
  });
});
