import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makePlan } from './plan.ts';
import { mostSafe, noteReading, type Reading, readGraceMs, readSafeMs, standingOf } from './reading.ts';
import { pruneStepByStep } from './steps.ts';
import type { Client, Decision, StoreState } from './types.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const now = Date.parse('2026-11-20T12:00:00Z');

describe('what reading a snapshot is worth', () => {
  it.each([
    ['it is being read', { since: now, last: now }, 'safe'],
    ['the connection was lost an hour ago', { since: now - 3 * hourMs, last: now - hourMs }, 'safe'],
    [
      'it has not been read for longer than the grace',
      { since: now - 5 * hourMs, last: now - readGraceMs - 1 },
      undefined,
    ],
    ['just before its day is over', { since: now - readSafeMs + 1, last: now }, 'safe'],
    ['its day is over, and it is read on', { since: now - readSafeMs, last: now }, 'last'],
    ['the clock was set back by an hour', { since: now + hourMs, last: now + hourMs }, 'safe'],
    ['it is dated a day ahead', { since: now + dayMs, last: now + dayMs }, undefined],
  ])('%s', (_, times, expected) => {
    expect(standingOf({ name: 'a', ...times }, now)).toBe(expected);
  });

  it('no pauses make more than one day of it', () => {
    // Every hour of a week, with a pause that is longer than the grace each day.
    let readings: Reading[] = [];
    const safeHours: number[] = [];
    for (let hour = 0; hour < 7 * 24; hour += 1) {
      const at = now + hour * hourMs;
      if (hour % 24 < 20) readings = noteReading(readings, { name: 'a' }, at);
      if (readings.some((each) => standingOf(each, at) === 'safe')) safeHours.push(hour);
    }
    expect(safeHours.at(-1)).toBeLessThan(24);
  });

  it('whoever comes back after a day has another one', () => {
    const first = noteReading([], { name: 'a' }, now);
    expect(noteReading(first, { name: 'a' }, now + dayMs + 1)).toEqual([
      { name: 'a', since: now + dayMs + 1, last: now + dayMs + 1 },
    ]);
  });

  it('forgets what was not read for a day, and what is dated ahead', () => {
    const known = [
      { name: 'old', since: now - 9 * dayMs, last: now - dayMs - 1 },
      { name: 'ahead', since: now + dayMs, last: now + dayMs },
      { name: 'other', since: now - hourMs, last: now - hourMs },
    ];
    expect(noteReading(known, { name: 'a' }, now).map(({ name }) => name)).toEqual(['other', 'a']);
  });
});

/** A client with a snapshot a day, each with as much history of its own. */
function clientOf(name: string, count: number, read: Record<number, Partial<Reading>> = {}): Client {
  const snapshots = Array.from({ length: count }, (_, at) => {
    const time = now - (count - at) * dayMs;
    return { name: `s${String(at).padStart(2, '0')}`, time, status: 'ok' as const, bornBytes: 100, diedBytes: 100 };
  });
  const readings = Object.entries(read).map(([at, times]) => ({
    name: `s${at.padStart(2, '0')}`,
    since: now - hourMs,
    last: now,
    ...times,
  }));
  return { name, policy: { weight: 1, keepLast: 3 }, snapshots, readings };
}

const stateOf = (...clients: Client[]): StoreState => ({ now, freeBytes: 0, holds: [], clients });
const all = { freeBytes: Number.POSITIVE_INFINITY, order: 'importance' } as const;
const gone = (decisions: readonly Decision[], client = 'web1') =>
  decisions.filter((each) => each.verdict === 'pruned' && each.client === client).map(({ snapshot }) => snapshot.name);

describe('a plan', () => {
  it('leaves what is being read, whatever is wanted, and says so', () => {
    const { decisions, reached } = makePlan(stateOf(clientOf('web1', 12, { 0: {} })), { ...all, freeBytes: 1e9 });
    expect(reached).toBe(false);
    const listed = makePlan(stateOf(clientOf('web1', 12, { 0: {} })), all).decisions;
    expect(gone(listed)).toHaveLength(8);
    expect(gone(listed)).not.toContain('s00');
    for (const plan of [decisions, listed]) {
      expect(plan.find(({ snapshot }) => snapshot.name === 's00')).toMatchObject({
        verdict: 'kept',
        because: 'read',
        reason: 'being read since 2026-11-20T11:00Z',
      });
    }
  });

  it.each(['importance', 'age'] as const)('takes it last when its day is over, by %s', (order) => {
    const client = clientOf('web1', 12, { 0: { since: now - 2 * dayMs } });
    const { decisions } = makePlan(stateOf(client), { ...all, order });
    expect(gone(decisions)).toHaveLength(9);
    expect(gone(decisions).at(-1)).toBe('s00');
    expect(decisions[8]?.reason).toContain('the last that may go of its client; being read since 2026-11-18T12:00Z');
  });

  it('keeps it though it is too old, for a day', () => {
    const old = (since: number) => ({
      ...clientOf('web1', 12, { 0: { since } }),
      policy: { weight: 1, keepLast: 3, maxAgeMs: 5 * dayMs },
    });
    const aim = { freeBytes: 0, order: 'importance' } as const;
    expect(gone(makePlan(stateOf(old(now)), aim).decisions)).not.toContain('s00');
    expect(gone(makePlan(stateOf(old(now - 2 * dayMs)), aim).decisions)).toContain('s00');
  });

  it('lets nobody pay for a client that reads all of its history', () => {
    const everything = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [at, {}]));
    const reader = clientOf('reader', 20, everything);
    const other = clientOf('other', 8);
    // What the reader has above its share.
    const plan = makePlan(stateOf(reader, other), { freeBytes: 500, order: 'importance' });
    expect(plan.reached).toBe(true);
    expect(gone(plan.decisions, 'other')).toEqual([]);
    expect(plan.decisions.filter(({ because }) => because === 'read')).toHaveLength(mostSafe);
    expect(gone(makePlan(stateOf(reader, other), all).decisions, 'reader')).toHaveLength(20 - 3 - mostSafe);
  });

  it('lets the reader make room for its own backup', () => {
    const everything = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [at, {}]));
    const demand = { client: 'reader', freeBytes: 500 };
    const state = stateOf(clientOf('reader', 20, everything), clientOf('other', 40));
    const plan = makePlan(state, { freeBytes: 0, order: 'importance', demand });
    expect(plan.reached).toBe(true);
    expect(gone(plan.decisions, 'reader').length).toBeGreaterThan(0);
  });

  it('keeps what is read of a client whose pruning is paused', () => {
    const paused = { ...clientOf('web1', 12, { 0: {} }), paused: 'most files gone' };
    const { decisions } = makePlan(stateOf(paused), { freeBytes: 800, order: 'importance' });
    expect(gone(decisions)).not.toContain('s00');
  });

  it('never lets go what is read, whoever reads what', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 11 }), { maxLength: mostSafe }),
        fc.integer({ min: 0, max: 3000 }),
        fc.constantFrom('importance' as const, 'age' as const),
        (read, freeBytes, order) => {
          const state = stateOf(
            clientOf('web1', 12, Object.fromEntries(read.map((at) => [at, {}]))),
            clientOf('web2', 5),
          );
          const lost = gone(makePlan(state, { freeBytes, order }).decisions);
          expect(lost.filter((name) => read.includes(Number(name.slice(1))))).toEqual([]);
        },
      ),
    );
  });
});

it('what is begun to be read in the middle of a prune stays', () => {
  let client = clientOf('web1', 12);
  let freeBytes = 0;
  const look = () => ({ ...stateOf(client), freeBytes });
  const steps = pruneStepByStep(look, { freeBytes: 400, order: 'age' });
  const went: string[] = [];
  for (let step = steps.next(); step.done !== true; step = steps.next()) {
    const { name } = step.value.snapshot;
    went.push(name);
    freeBytes += step.value.freesBytes;
    client = { ...client, snapshots: client.snapshots.filter((each) => each.name !== name) };
    if (went.length === 1) client = { ...client, readings: [{ name: 's01', since: now, last: now }] };
  }
  expect(went[0]).toBe('s00');
  expect(went).not.toContain('s01');
  expect(went.length).toBeGreaterThan(3);
});
