import { describe, expect, it } from 'vitest';
import { forecast } from './forecast.ts';

const dayMs = 86_400_000;
const now = Date.parse('2026-11-20T12:00:00Z');
const input = (client: string, historyBytes: number, days: number, pruned: boolean, weight = 1) => ({
  client,
  historyBytes,
  weight,
  pruned,
  snapshots: days,
  oldest: now - days * dayMs,
});

describe('forecast', () => {
  it('gives more disk to those whose history is cut by space, by weight, and lengthens it at their own rate', () => {
    const [big, other, young] = forecast(
      [input('big', 1000, 100, true), input('other', 1000, 50, true), input('young', 10, 5, false)],
      now,
      400,
    );
    expect(big).toMatchObject({ depthDays: 100, depthWithMoreDays: 120, limitedBySpace: true });
    expect(other).toMatchObject({ depthDays: 50, depthWithMoreDays: 60 });
    expect(young).toMatchObject({ depthDays: 5, limitedBySpace: false });
    expect(young).not.toHaveProperty('depthWithMoreDays');
  });

  it('of an empty store is empty, and of one without history is no number out of nothing', () => {
    expect(forecast([], now, 100)).toEqual([]);
    expect(forecast([input('web1', 0, 1, true)], now, 100)[0]).not.toHaveProperty('depthWithMoreDays');
  });
});
