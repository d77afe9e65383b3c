import { byTime } from './importance.ts';
import type { KeepPart, KeepRule, KeepUnit, Snapshot } from './types.ts';

const units: Readonly<Record<string, KeepUnit>> = {
  h: 'hour',
  d: 'day',
  w: 'week',
  m: 'month',
  q: 'quarter',
  y: 'year',
};
const letters: Readonly<Record<KeepUnit, string>> = {
  hour: 'h',
  day: 'd',
  week: 'w',
  month: 'm',
  quarter: 'q',
  year: 'y',
};
const dayMs = 86_400_000;
/** A Monday: weeks begin on Mondays, so that their newest snapshot is the Sunday's. */
const firstMonday = 4 * dayMs;

/**
 * Reads a roll-off rule such as "7d 4w 13m" (h, d, w, m, q, y; each unit once).
 * @throws RangeError that says what is wrong with it.
 */
export function parseKeepRule(text: string): KeepRule {
  const words = text.trim().split(/\s+/);
  const parts: KeepPart[] = [];
  for (const word of words) {
    const match = /^(\d{1,4})([hdwmqy])$/.exec(word);
    const unit = units[match?.[2] ?? ''];
    if (match === null || unit === undefined) {
      throw new RangeError(`"${word}" is no part of a keep rule; they look like 7d, 4w or 13m (h, d, w, m, q, y)`);
    }
    if (parts.some((part) => part.unit === unit)) throw new RangeError(`a keep rule says "${match[2]}" once only`);
    parts.push({ count: Number(match[1]), unit });
  }
  return parts;
}

/** The text of a rule, as parseKeepRule reads it. */
export function formatKeepRule(rule: KeepRule): string {
  return rule.map((part) => `${part.count}${letters[part.unit]}`).join(' ');
}

/** Names the hour, day, … that a time lies in; UTC. */
function periodOf(time: number, unit: KeepUnit): string {
  if (unit === 'week') return String(Math.floor((time - firstMonday) / (7 * dayMs)));
  if (unit === 'quarter') {
    const date = new Date(time);
    return `${date.getUTCFullYear()} ${Math.floor(date.getUTCMonth() / 3)}`;
  }
  const lengths = { hour: 13, day: 10, month: 7, year: 4 } as const;
  return new Date(time).toISOString().slice(0, lengths[unit]);
}

/**
 * The snapshots of one client that its rule protects, with the reason: the newest one of each of the newest so many
 * hours, days, … of which there are snapshots. Periods without a snapshot do not count: what a client has must not
 * run out because the client was away.
 */
export function protectedByKeep(snapshots: readonly Snapshot[], rule: KeepRule): Map<Snapshot, string> {
  const newestFirst = [...snapshots].sort(byTime).reverse();
  const reasons = new Map<Snapshot, string>();
  for (const { count, unit } of rule) {
    let period: string | undefined;
    let seen = 0;
    for (const snapshot of newestFirst) {
      const its = periodOf(snapshot.time, unit);
      if (its === period) continue;
      period = its;
      seen += 1;
      if (seen > count) break;
      if (!reasons.has(snapshot)) reasons.set(snapshot, `keep rule: ${unit} ${seen} of ${count}`);
    }
  }
  return reasons;
}
