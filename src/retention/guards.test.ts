import { describe, expect, it } from 'vitest';
import { judgeRun } from './admission.ts';
import { judgeClock } from './clock-sanity.ts';
import { changedPart, growthLimitBytes, hasHabit, whyDestructive } from './guards.ts';

const dayMs = 86_400_000;
const now = Date.parse('2026-11-20T12:00:00Z');
const runs = (...sizes: number[]) => sizes.map((writtenBytes, time) => ({ time, writtenBytes }));

describe('growthLimitBytes', () => {
  it('is a multiple of the second largest recent run, so that one outlier makes no habit', () => {
    expect(growthLimitBytes(runs(5, 7, 6, 900), { factor: 10, floorBytes: 1 })).toBe(70);
    expect(growthLimitBytes(runs(5, 700, 6, 900), { factor: 10, floorBytes: 1 })).toBe(7000);
  });
  it('is never below the floor, and none while too little is known', () => {
    expect(growthLimitBytes(runs(5, 7, 6), { factor: 10, floorBytes: 500 })).toBe(500);
    expect(growthLimitBytes(runs(5, 7), { factor: 10, floorBytes: 500 })).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('judgeRun', () => {
  const asking = {
    announcedBytes: 100,
    limitBytes: 1000,
    allowed: false,
    freeBytes: 2000,
    totalBytes: 10_000,
    startPercent: 5,
  };
  it('lets in what fits above start, however large', () => {
    expect(judgeRun(asking)).toEqual({ verdict: 'go' });
    expect(judgeRun({ ...asking, announcedBytes: 1400, limitBytes: 10 })).toEqual({ verdict: 'go' });
  });
  it('makes room for what does not, unless it is much larger than usual', () => {
    const large = { ...asking, announcedBytes: 1900, limitBytes: 2000 };
    expect(judgeRun(large)).toEqual({ verdict: 'make-room', aimBytes: 2495, leastBytes: 2495 });
    expect(judgeRun({ ...large, limitBytes: 10 })).toEqual({ verdict: 'too-large' });
    expect(judgeRun({ ...large, limitBytes: 10, allowed: true })).toMatchObject({ verdict: 'make-room' });
  });
});

describe('whyDestructive', () => {
  const usual = {
    filesBefore: 1000,
    filesNow: 1001,
    bytesBefore: 1e9,
    bytesNow: 1.01e9,
    sentBytes: 2e7,
    elapsedMs: dayMs,
  };
  it('says nothing of an ordinary day, of growth, or of a tree that is always rewritten', () => {
    expect(whyDestructive(usual)).toBeUndefined();
    expect(whyDestructive({ ...usual, filesNow: 9000, bytesNow: 9e9, sentBytes: 8.1e9 })).toBeUndefined();
    expect(whyDestructive({ ...usual, sentBytes: 1e9, usualBytes: 0.9e9 })).toBeUndefined();
    expect(whyDestructive({ ...usual, filesNow: 1, elapsedMs: 400 * dayMs })).toBeUndefined();
  });
  it('says what is gone or rewritten', () => {
    expect(whyDestructive({ ...usual, filesNow: 0, bytesNow: 0 })).toBe('all of its 1,000 files are gone');
    expect(whyDestructive({ ...usual, filesNow: 300 })).toBe('70 % of its 1,000 files are gone');
    expect(whyDestructive({ ...usual, bytesNow: 1e8 })).toBe('90 % of its data are gone');
    expect(whyDestructive({ ...usual, sentBytes: 1e9, usualBytes: 1e7 })).toBe(
      '99 % of its data were rewritten at once',
    );
  });
});

describe('judgeClock', () => {
  it('believes a clock that goes on', () => {
    expect(judgeClock(now, now - dayMs, { lastSeen: now - dayMs })).toEqual({ memory: { lastSeen: now } });
    expect(judgeClock(now, undefined, {})).toMatchObject({ memory: { lastSeen: now } });
  });
  it('does not believe one that went back, or snapshots from the future', () => {
    expect(judgeClock(now, now - dayMs, { lastSeen: now + 2 * dayMs }).why).toMatch(/the last prune was at 2026-11-22/);
    expect(judgeClock(now, now + 2 * dayMs, {}).why).toMatch(/the newest snapshot is of 2026-11-22/);
  });
  it('believes a long silence after a day in which time went on, and not before', () => {
    const first = judgeClock(now, now - 100 * dayMs, { lastSeen: now - 100 * dayMs });
    expect(first.why).toMatch(/100 days after the last prune/);
    const soon = judgeClock(now + dayMs / 2, now, first.memory);
    expect(soon.why).toBeDefined();
    expect(judgeClock(now + 1.1 * dayMs, now, soon.memory)).toEqual({ memory: { lastSeen: now + 1.1 * dayMs } });
    // Set right meanwhile: the jump is forgotten.
    expect(judgeClock(now - 99 * dayMs, now - 100 * dayMs, first.memory).memory).toEqual({
      lastSeen: now - 99 * dayMs,
    });
  });
});

describe('hasHabit', () => {
  const run = (time: number, part: number) => ({ time, writtenBytes: 1, changedPart: part });
  it('is learned from five of the last ten runs that changed half of the tree or more', () => {
    const always = Array.from({ length: 8 }, (_, time) => run(time, 1));
    expect(hasHabit(always.slice(0, 4))).toBe(false);
    expect(hasHabit(always.slice(0, 5))).toBe(true);
    expect(hasHabit([...always, ...Array.from({ length: 9 }, (_, time) => run(10 + time, 0.1))])).toBe(false);
    const tree = { filesBefore: 20, filesNow: 20, bytesBefore: 1e9, bytesNow: 1e9, sentBytes: 1e9, elapsedMs: dayMs };
    expect(whyDestructive(tree)).toMatch('rewritten');
    expect(whyDestructive({ ...tree, isHabit: true })).toBeUndefined();
  });
  it('is none of an empty source, however often it comes', () => {
    const gone = { filesBefore: 50, filesNow: 0, bytesBefore: 1e9, bytesNow: 0, sentBytes: 0, elapsedMs: dayMs };
    expect(changedPart(gone)).toBe(0);
    expect(whyDestructive({ ...gone, isHabit: true })).toMatch('all of its 50 files are gone');
  });
});
