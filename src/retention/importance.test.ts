import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderOfClient, wantedTimes } from './importance.ts';
import type { Snapshot } from './types.ts';

const dayMs = 86_400_000;
const at = (text: string) => Date.parse(text);
const snapshot = (text: string): Snapshot => ({
  name: text,
  time: at(text),
  status: 'ok',
  bornBytes: 1,
  diedBytes: 1,
});
const goes = (times: string[], now: string) =>
  orderOfClient(times.map(snapshot), 'importance', at(now)).map(({ snapshot }) => snapshot.name);

describe('wantedTimes', () => {
  it('are midday today and the six days before, four Sundays, then every fourth Sunday, in UTC', () => {
    const wanted = wantedTimes(at('2026-11-20T09:30:00Z'), at('2026-07-01T00:00:00Z')).map(({ time }) =>
      new Date(time).toISOString().slice(0, 16),
    );
    expect(wanted).toEqual([
      '2026-11-20T12:00',
      '2026-11-19T12:00',
      '2026-11-18T12:00',
      '2026-11-17T12:00',
      '2026-11-16T12:00',
      '2026-11-15T12:00',
      '2026-11-14T12:00',
      '2026-11-08T12:00',
      '2026-11-01T12:00',
      '2026-10-25T12:00',
      '2026-10-18T12:00',
      '2026-09-27T12:00',
      '2026-08-30T12:00',
      '2026-08-02T12:00',
      '2026-07-05T12:00',
    ]);
  });

  it('fall on Sundays at midday whatever the day, daylight time, leap day or year', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3000 * dayMs, max: 40_000 * dayMs }),
        fc.integer({ min: 0, max: 2000 }),
        (now, days) => {
          const wanted = wantedTimes(now, now - days * dayMs);
          for (const [index, { time }] of wanted.entries()) {
            expect(new Date(time).getUTCHours()).toBe(12);
            if (index >= 7) expect(new Date(time).getUTCDay()).toBe(0);
            if (index >= 11) expect((time - at('1970-01-04T12:00:00Z')) % (28 * dayMs)).toBe(0);
            if (index > 0) expect(time).toBeLessThan((wanted[index - 1] as { time: number }).time);
          }
          expect(new Set(wanted.slice(0, 7).map(({ time }) => Math.floor(time / dayMs))).size).toBe(7);
        },
      ),
    );
  });
});

describe('orderOfClient', () => {
  it('lets what is near no wanted time go first, oldest first', () => {
    const order = goes(
      [
        '2026-11-20T03:00:00Z',
        '2026-11-20T09:00:00Z',
        '2026-11-19T01:00:00Z',
        '2026-11-19T11:00:00Z',
        '2026-11-18T12:00:00Z',
      ],
      '2026-11-20T10:00:00Z',
    );
    expect(order).toEqual([
      '2026-11-19T01:00:00Z',
      '2026-11-20T03:00:00Z',
      '2026-11-18T12:00:00Z',
      '2026-11-19T11:00:00Z',
      '2026-11-20T09:00:00Z',
    ]);
  });

  it('keeps the choice of the fourth Sundays as days go by: what was chosen is never replaced', () => {
    let present = Array.from({ length: 400 }, (_, day) =>
      new Date(at('2026-01-01T03:00:00Z') + day * dayMs).toISOString(),
    );
    let chosen: string[] = [];
    for (let day = 400; day < 460; day += 1) {
      const now = new Date(at('2026-01-01T05:00:00Z') + day * dayMs).toISOString();
      present.push(new Date(at('2026-01-01T03:00:00Z') + day * dayMs).toISOString());
      const ranked = orderOfClient(present.map(snapshot), 'importance', at(now));
      const kept = ranked.filter(({ nearest }) => nearest !== undefined).map(({ snapshot }) => snapshot.name);
      const fourths = ranked
        .filter(({ nearest }) => nearest?.kind === 'fourth Sunday')
        .map(({ snapshot }) => snapshot.name);
      for (const name of chosen) expect(fourths).toContain(name);
      chosen = fourths;
      present = kept;
    }
    expect(chosen.length).toBeGreaterThan(10);
  });

  it('is by age alone when asked', () => {
    const times = ['2026-11-20T09:00:00Z', '2026-10-01T09:00:00Z', '2026-11-01T09:00:00Z'];
    expect(
      orderOfClient(times.map(snapshot), 'age', at('2026-11-20T10:00:00Z')).map(({ snapshot }) => snapshot.name),
    ).toEqual(['2026-10-01T09:00:00Z', '2026-11-01T09:00:00Z', '2026-11-20T09:00:00Z']);
  });
});
