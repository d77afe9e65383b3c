import type { Reading } from './reading.ts';
import type { PruneOrder, Snapshot } from './types.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const weekMs = 7 * dayMs;
/** Midday of the first Sunday of 1970, the fourth of January: from it on every fourth Sunday is counted. */
const firstSunday = 3 * dayMs + 12 * hourMs;

/** A moment that we want a snapshot of. */
export interface WantedTime {
  readonly time: number;
  /** A snapshot further away than this is not near it. */
  readonly withinMs: number;
  readonly kind: 'day' | 'Sunday' | 'fourth Sunday';
}

/** For people: "the Sunday 2026-11-15". */
export function wantedInWords({ time, kind }: WantedTime): string {
  const date = new Date(time).toISOString().slice(0, 10);
  return kind === 'day' ? `midday on ${date}` : `the ${kind} ${date}`;
}

/**
 * The moments that we want snapshots of, the most important first: midday today and on the six days before, on the
 * four Sundays before those, and on every fourth Sunday before that, back to `oldest`. All in UTC, where each day has
 * 24 hours. The fourth Sundays are those of a fixed calendar, so that a snapshot chosen today is chosen tomorrow too.
 */
export function wantedTimes(now: number, oldest: number): WantedTime[] {
  const today = Math.floor(now / dayMs) * dayMs + 12 * hourMs;
  const wanted: WantedTime[] = [];
  for (let days = 0; days < 7; days += 1) {
    const time = today - days * dayMs;
    wanted.push({ time, withinMs: 12 * hourMs, kind: 'day' });
  }
  const sixDaysBefore = today - 6 * dayMs;
  let sunday = firstSunday + Math.floor((sixDaysBefore - 1 - firstSunday) / weekMs) * weekMs;
  for (let count = 0; count < 4; count += 1) {
    wanted.push({ time: sunday, withinMs: weekMs / 2, kind: 'Sunday' });
    sunday -= weekMs;
  }
  let fourth = firstSunday + Math.floor((sunday - firstSunday) / (4 * weekMs)) * 4 * weekMs;
  for (; fourth + 2 * weekMs >= oldest; fourth -= 4 * weekMs) {
    wanted.push({ time: fourth, withinMs: 2 * weekMs, kind: 'fourth Sunday' });
  }
  return wanted;
}

/** A snapshot with its place in the order of one client. */
export interface Ranked {
  readonly snapshot: Snapshot;
  /** The most important moment that it is the nearest to, if any. */
  readonly nearest?: WantedTime;
  /** Set when it is being read, and may go all the same: after all others of its client. */
  readonly reading?: Reading;
}

type NamedTime = Pick<Snapshot, 'time' | 'name'>;

/** Oldest first; the name decides between equals, so that no order depends on the order of the input. */
export function byTime(a: NamedTime, b: NamedTime): number {
  return a.time - b.time || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

/** The snapshots of one client in the order in which they go, the least important first. */
export function orderOfClient(snapshots: readonly Snapshot[], order: PruneOrder, now: number): Ranked[] {
  const sorted = [...snapshots].sort(byTime);
  if (order === 'age') return sorted.map((snapshot) => ({ snapshot }));
  return orderByImportance(sorted, now);
}

function orderByImportance(sorted: readonly Snapshot[], now: number): Ranked[] {
  const oldest = sorted[0];
  if (oldest === undefined) return [];
  const nearestTo = new Map<Snapshot, WantedTime>();
  const chosen: Ranked[] = [];
  for (const wanted of wantedTimes(now, oldest.time)) {
    const snapshot = nearestSnapshot(sorted, wanted);
    if (snapshot === undefined || nearestTo.has(snapshot)) continue;
    nearestTo.set(snapshot, wanted);
    chosen.push({ snapshot, nearest: wanted });
  }
  const nearNone = sorted.filter((snapshot) => !nearestTo.has(snapshot)).map((snapshot) => ({ snapshot }));
  return [...nearNone, ...chosen.reverse()];
}

/** The nearest of snapshots sorted by time, the later one of two equally near. */
function nearestSnapshot(sorted: readonly Snapshot[], wanted: WantedTime): Snapshot | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as Snapshot).time < wanted.time) low = middle + 1;
    else high = middle;
  }
  const distance = (snapshot: Snapshot | undefined) =>
    snapshot === undefined ? Number.POSITIVE_INFINITY : Math.abs(snapshot.time - wanted.time);
  const before = sorted[low - 1];
  const after = sorted[low];
  const nearest = distance(before) < distance(after) ? before : after;
  return distance(nearest) <= wanted.withinMs ? nearest : undefined;
}
