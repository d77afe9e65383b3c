import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyHistory, type History, historyBytes, recordCharge, recordDeletion, recordRun } from './history.ts';

function series(figures: readonly (readonly [number, number])[]): History {
  const history = emptyHistory();
  for (const [index, [writtenBytes, diedBytes]] of figures.entries()) {
    recordRun(history, { name: `s${index}`, time: index, status: 'ok', writtenBytes, diedBytes });
  }
  return history;
}

describe('the history of a client', () => {
  it('costs what died since the oldest snapshot', () => {
    expect(
      historyBytes(
        series([
          [100, 0],
          [10, 4],
          [20, 6],
        ]).entries,
      ),
    ).toBe(10);
    expect(historyBytes(series([[100, 0]]).entries)).toBe(0);
  });

  it('costs less by exactly what a deletion between two others freed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { minLength: 4, maxLength: 12 }),
        fc.nat(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (figures, which, part) => {
          const history = series(figures);
          const at = 1 + (which % (figures.length - 2));
          const before = historyBytes(history.entries);
          const freed = part * (history.entries[at + 1]?.diedBytes ?? 0);
          recordDeletion(history, `s${at}`, freed);
          expect(historyBytes(history.entries)).toBeCloseTo(before - freed, 6);
          for (const { bornBytes, diedBytes } of history.entries) {
            expect(bornBytes).toBeGreaterThanOrEqual(0);
            expect(diedBytes).toBeGreaterThanOrEqual(0);
          }
        },
      ),
    );
  });

  it('learns that the disk stores less than was written, from what the oldest frees', () => {
    const history = series(Array.from({ length: 40 }, () => [100, 100] as const));
    for (let index = 0; index < 30; index += 1) {
      recordDeletion(history, `s${index}`, 50 * (history.entries[1]?.diedBytes === undefined ? 0 : 1));
    }
    expect(history.diskRatio).toBeGreaterThan(0.4);
    expect(history.diskRatio).toBeLessThan(0.6);
  });

  it('is corrected by what the file system charged, and the runs after that are measured so', () => {
    const history = series([
      [100, 0],
      [40, 20],
      [60, 40],
    ]);
    recordCharge(history, new Set(['s1', 's2']), 50);
    expect(history.entries.map(({ bornBytes, diedBytes }) => [bornBytes, diedBytes])).toEqual([
      [100, 0],
      [20, 10],
      [30, 20],
    ]);
    expect(history.runs.map(({ writtenBytes }) => writtenBytes)).toEqual([100, 20, 30]);
    expect(history.diskRatio).toBe(0.5);
    recordCharge(history, new Set(['none']), 1000);
    expect(history.diskRatio).toBe(0.5);
  });

  it('remembers the last runs only, and which was the first', () => {
    const history = series(Array.from({ length: 60 }, (_, index) => [index, 0] as const));
    expect(history.runs).toHaveLength(31);
    expect(
      series([
        [1, 0],
        [2, 0],
      ]).runs,
    ).toEqual([
      { time: 0, writtenBytes: 1, first: true },
      { time: 1, writtenBytes: 2 },
    ]);
  });
});
