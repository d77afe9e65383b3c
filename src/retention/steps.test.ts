import { describe, expect, it } from 'vitest';
import { emptyHistory, type History, historyBytes, recordDeletion, recordRun } from './history.ts';
import { pruneStepByStep } from './steps.ts';
import type { Aim, StoreState } from './types.ts';

const dayMs = 86_400_000;
const now = Date.parse('2026-11-20T12:00:00Z');

/** A store in memory whose deletions free a part of what was foreseen. */
function storeOf(clients: Record<string, { days: number; bytesPerDay: number }>, yieldPart = 1) {
  const histories = new Map<string, History>();
  for (const [name, { days, bytesPerDay }] of Object.entries(clients)) {
    const history = emptyHistory();
    histories.set(name, history);
    for (let age = days; age > 0; age -= 1) {
      const time = now - age * dayMs;
      recordRun(history, { name: String(time), time, status: 'ok', writtenBytes: bytesPerDay, diedBytes: bytesPerDay });
    }
  }
  const store = { freeBytes: 0, deleted: [] as string[], histories };
  const look = (): StoreState => ({
    now,
    freeBytes: store.freeBytes,
    holds: [],
    clients: [...histories].map(([name, { entries, middleYield }]) => ({
      name,
      policy: { weight: 1, keepLast: 3 },
      snapshots: entries,
      middleYield,
    })),
  });
  const prune = (aim: Aim): string | undefined => {
    const steps = pruneStepByStep(look, aim);
    for (;;) {
      const { value, done } = steps.next();
      if (done === true) return value?.shortfall;
      const freed = value.freesBytes * yieldPart;
      store.freeBytes += freed;
      store.deleted.push(value.client);
      recordDeletion(histories.get(value.client) ?? emptyHistory(), value.snapshot.name, freed);
    }
  };
  return { ...store, store, prune };
}

describe('pruneStepByStep', () => {
  it('goes on with what the disk says until the aim is reached, and not one further', () => {
    for (const yieldPart of [1, 0.5, 0.1]) {
      const { store, prune } = storeOf({ web1: { days: 100, bytesPerDay: 100 } }, yieldPart);
      expect(prune({ freeBytes: 500, order: 'importance' })).toBeUndefined();
      expect(store.freeBytes).toBeGreaterThanOrEqual(500);
      expect(store.freeBytes).toBeLessThan(500 + 100 * yieldPart * store.deleted.length);
    }
  });

  it('takes turns as shares level out', () => {
    const { store, prune } = storeOf({ big: { days: 60, bytesPerDay: 100 }, small: { days: 60, bytesPerDay: 60 } });
    prune({ freeBytes: 5000, order: 'importance' });
    expect(new Set(store.deleted)).toEqual(new Set(['big', 'small']));
    const [big = 0, small = 0] = [...store.histories.values()].map(({ entries }) => historyBytes(entries));
    expect(Math.abs(big - small)).toBeLessThan(2000);
  });

  it('deletes nothing for a run that could not be let in even then', () => {
    const { store, prune } = storeOf({ web1: { days: 100, bytesPerDay: 10 }, db1: { days: 100, bytesPerDay: 10 } });
    const demand = { client: 'web1', freeBytes: 50_000 };
    expect(prune({ freeBytes: 60_000, order: 'importance', demand })).toBe('everything that is left is protected');
    expect(store.deleted).toEqual([]);
  });
});
