import { describe, expect, it } from 'vitest';
import { type RunId, type SnapshotName, snapshotNameAt } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { bootId } from '../../system/boot-id.ts';
import { nextSnapshotName } from './complete.ts';
import { outcomeOf } from './outcome.ts';
import { requireNotTooSoon } from './prepare.ts';
import { requireOpen } from './record.ts';
import { reserveBytes } from './space.ts';

const now = new Date('2026-11-20T03:00:00.700Z');
const at = (hoursAgo: number) => snapshotNameAt(new Date(now.getTime() - hoursAgo * 3_600_000));

describe('snapshots per day', () => {
  it('allows as many as the limit, and tells from when the next is allowed', () => {
    expect(() => requireNotTooSoon([at(30), at(23), at(2)], 3, now)).not.toThrow();
    expect(() => requireNotTooSoon([at(30), at(23), at(3), at(2)], 3, now)).toThrow('3 snapshots');
    try {
      requireNotTooSoon([at(23), at(3), at(2)], 3, now);
    } catch (error) {
      expect(error).toMatchObject({
        exit: 'tooSoon',
        explanation: { why: expect.stringContaining('2026-11-20T04:00:00Z, in 60 minutes') },
      });
    }
  });

  it('counts those with a time to come: a clock that was set back opens no gap', () => {
    expect(() => requireNotTooSoon([at(-100), at(-50)], 2, now)).not.toThrow();
    // One that was really made in the last day counts, whatever its name says.
    const made = new Map([at(-100), at(-50)].map((name) => [name, now.getTime() - 3_600_000]));
    expect(() => requireNotTooSoon([at(-100), at(-50)], 2, now, made)).toThrow('2 snapshots');
  });

  it('does not wait for the whole limit to leave the day', () => {
    const names = Array.from({ length: 60 }, (_, hour) => at(hour / 4));
    expect(() => requireNotTooSoon(names, 48, now)).toThrow('48 snapshots');
    expect(() => requireNotTooSoon(names, 61, now)).not.toThrow();
  });
});

describe("a snapshot's name", () => {
  it('is the time of the server', () => {
    expect(nextSnapshotName([], now)).toBe('2026-11-20T030000Z');
    expect(nextSnapshotName([at(5)], now)).toBe('2026-11-20T030000Z');
  });

  it('is later than all others, whatever the clock does', () => {
    expect(nextSnapshotName([at(0)], now)).toBe('2026-11-20T030001Z');
    expect(nextSnapshotName([at(5), at(-24)], now)).toBe('2026-11-21T030001Z');
  });
});

describe('the reserve', () => {
  it('is 1 GB, or 5 % of a small store', () => {
    expect(reserveBytes(4 * 1024 ** 3)).toBe(Math.floor(4 * 1024 ** 3 * 0.05));
    expect(reserveBytes(4 * 1024 ** 4)).toBe(1_000_000_000);
  });
});

const run = 'a'.repeat(32) as RunId;
const other = 'b'.repeat(32) as RunId;
const failure = { ok: false, exit: 'storeFull', what: 'the store is full' } as const;
const record: RunRecord = {
  format: 1,
  client: 'web1' as RunRecord['client'],
  run,
  state: 'open',
  machineId: '0'.repeat(64),
  clientVersion: '1',
  preparedAt: now.toISOString(),
  expectedBytes: 0,
  previous: null,
  transfers: [],
};

describe('the open run', () => {
  it('is the only one that goes on', () => {
    expect(requireOpen(record, run)).toBe(record);
    expect(() => requireOpen(record, other)).toThrow('refused');
    expect(() => requireOpen(undefined, run)).toThrow('refused');
    expect(() => requireOpen({ ...record, state: 'completed', snapshot: at(0) as SnapshotName }, run)).toThrow(
      'refused',
    );
  });

  it('does not go on when the machine was started anew: what was sent may not have come to the disk', () => {
    const here = { ...record, bootId: bootId() };
    expect(requireOpen(here, run)).toBe(here);
    const gone = { ...record, bootId: '00000000-0000-4000-8000-000000000000' };
    expect(() => requireOpen(gone, run)).toThrow('refused');
    expect(outcomeOf(gone, run)).toMatchObject({
      what: `run ${run} is refused`,
      why: expect.stringContaining('started anew'),
    });
  });

  it('tells why its last transfer failed', () => {
    const end = { endedAt: now.toISOString(), exitCode: 11, failure };
    expect(outcomeOf(record, run)).toBeNull();
    expect(outcomeOf({ ...record, transfers: [end] }, run)).toEqual(failure);
    expect(outcomeOf({ ...record, transfers: [end, { ...end, exitCode: 0, failure: null }] }, run)).toBeNull();
    expect(outcomeOf(record, other)).toMatchObject({ exit: 'refused', why: 'a newer run has taken its place' });
    expect(outcomeOf({ ...record, state: 'completed' }, run)).toMatchObject({
      exit: 'refused',
      why: 'it is completed',
    });
  });
});
