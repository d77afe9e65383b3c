import { expect, it } from 'vitest';
import { makePlan } from '../retention/plan.ts';
import type { PruneOrder, Snapshot } from '../retention/types.ts';
import { planText } from './prune-text.ts';

const hourMs = 3_600_000;

/** What `--list` says of a client with a year of snapshots, every seven hours, at this moment. */
function listAt(now: number, order: PruneOrder): string {
  const snapshots = Array.from({ length: 1200 }, (_, index): Snapshot => {
    const time = now - (1200 - index) * 7 * hourMs;
    const name = new Date(time).toISOString().replaceAll(/\.\d+|:/g, '');
    return { name, time, status: 'ok', bornBytes: 900 * 2 ** 20, diedBytes: 900 * 2 ** 20 };
  });
  const clients = [{ name: 'mail1', policy: { weight: 1, keepLast: 3 }, snapshots }];
  const plan = makePlan({ now, freeBytes: 0, clients, holds: [] }, { freeBytes: Number.POSITIVE_INFINITY, order });
  return planText({
    mode: 'list',
    order,
    outcome: 'planned',
    totalBytes: 2 ** 40,
    freeBytesBefore: 2 ** 30,
    freeBytesAfter: 2 ** 30,
    decisions: plan.decisions.map((decision) => ({ ...decision, snapshot: decision.snapshot.name })),
    deleted: [],
  });
}

it.each(['importance', 'age'] as const)('a list by %s fits on 80 columns at any hour of any day', (order) => {
  for (let hours = 0; hours < 28 * 24; hours += 61) {
    const text = listAt(Date.parse('2026-11-21T00:30:00Z') + hours * hourMs, order);
    expect(text).toContain(order === 'age' ? 'the oldest' : 'near the fourth Sunday');
    expect(text).toContain('one of the newest 3');
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  }
});
