import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { decideAlerts, type Flood, FloodSchema } from './alerts.ts';
import type { ToldEvent } from './mail.ts';
import type { MailContent } from './mail-document.ts';

const context = { server: 'vault' };
const start = Date.parse('2026-11-20T03:00:00Z');
const at = (ms: number) => new Date(start + ms).toISOString();
const refusal = (ms: number, more: Partial<ToldEvent> = {}): ToldEvent => ({
  at: at(ms),
  kind: 'refusal',
  client: 'web1',
  what: 'rm -rf is refused',
  ...more,
});

/** Rounds of the sender at the given times, each with the events that came since the one before. */
function rounds(
  times: readonly number[],
  events: readonly ToldEvent[],
): { mails: MailContent[]; flood: Flood | undefined } {
  const mails: MailContent[] = [];
  let flood: Flood | undefined;
  let from = '';
  for (const ms of times) {
    const until = at(ms);
    const decision = decideAlerts(
      flood,
      events.filter((event) => event.at > from && event.at <= until),
      new Date(start + ms),
      context,
    );
    mails.push(...decision.mails);
    // As it is after it was written down and read again.
    flood = decision.flood === undefined ? undefined : v.parse(FloodSchema, JSON.parse(JSON.stringify(decision.flood)));
    from = until;
  }
  return { mails, flood };
}

const minutes = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => (from + index) * 60_000);

describe('alerts', () => {
  it('go at once while they are few', () => {
    const { mails } = rounds([1000], [refusal(500)]);
    expect(mails.map(({ subject }) => subject)).toEqual([
      'byteback vault: ALERT web1 2026-11-20 03:00Z: rm -rf is refused',
    ]);
  });

  it('a thousand refusals in a minute make five mails, the last a digest with the count', () => {
    const thousand = Array.from({ length: 1000 }, (_, index) => refusal(1 + index * 60));
    const everySecond = Array.from({ length: 61 }, (_, index) => index * 1000);
    const { mails, flood } = rounds([...everySecond, ...minutes(2, 180)], thousand);
    expect(mails).toHaveLength(5);
    expect(mails.at(-1)?.subject).toBe('byteback vault: DIGEST 2026-11-20 03:16Z: 1,000 events');
    expect(mails.at(-1)?.text).toMatch(/9\d\d times, the last at 2026-11-20 03:00/);
    expect(flood).toBeUndefined();
  });

  it('count what stands for many', () => {
    const { mails } = rounds(
      minutes(0, 60),
      [1, 2, 3, 4].map((ms) => refusal(ms * 60_000)).concat(refusal(300_000, { count: 996 })),
    );
    expect(mails).toHaveLength(5);
    expect(mails.at(-1)?.subject).toContain('1,000 events');
  });

  it('of a flood that does not end make one digest an hour', () => {
    const day = Array.from({ length: 24 * 60 }, (_, index) => refusal(index * 60_000));
    const { mails } = rounds(minutes(0, 26 * 60), day);
    expect(mails.length).toBeLessThanOrEqual(4 + 25);
    expect(mails.slice(4).every(({ subject }) => subject.includes('DIGEST'))).toBe(true);
  });

  it('after a quiet hour go at once again', () => {
    const { mails } = rounds(
      minutes(0, 300),
      [...minutes(1, 20), 250 * 60_000].map((ms) => refusal(ms)),
    );
    expect(mails.at(-1)?.subject).toContain('ALERT web1 2026-11-20 07:10Z');
  });

  it('of many kinds stay one digest of a bounded size', () => {
    const many = Array.from({ length: 5000 }, (_, index) => refusal(600_000 + index, { client: `web${index}` }));
    const first = [1, 2, 3, 4].map((minute) => refusal(minute * 60_000));
    const { mails, flood } = rounds(minutes(0, 12), [...first, ...many]);
    expect(mails).toHaveLength(4);
    expect(Object.keys(flood?.waiting ?? {}).length).toBeLessThanOrEqual(201);
    expect(flood?.total).toBe(5004);
  });
});
