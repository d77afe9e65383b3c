/** Which snapshots are being read, and what that is worth when room is needed. */

/** One snapshot that was read lately; times in milliseconds since 1970. */
export interface Reading {
  /** The snapshot. */
  readonly name: string;
  /** When the reading began, gaps of less than a day counted in. */
  readonly since: number;
  /** When it was last seen to be read. */
  readonly last: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** A restore consists of several sessions, and may be interrupted: it counts as going on for so long after the last of them. */
export const readGraceMs = 2 * hourMs;
/** What is being read may not go before this has passed since the reading began. */
export const readSafeMs = dayMs;
/** Whoever has had its day has another one only when it has not read for so long: no pause of an hour starts the day anew. */
const forgottenAfterMs = dayMs;
/** No more snapshots of one client are safe for being read: whoever reads all of its history gives all but these. */
export const mostSafe = 3;

/** What reading a snapshot is worth: it is `safe`, or goes `last` of its client's; undefined when it is not being read. */
export type ReadStanding = 'safe' | 'last' | undefined;

/** The standing of a snapshot, were it the only one that is read. */
export function standingOf({ since, last }: Reading, now: number): ReadStanding {
  // A clock that was set back a little is no reason to let go; a time further ahead says nothing.
  if (last < now - readGraceMs || last > now + readGraceMs) return undefined;
  return now - Math.min(since, now) < readSafeMs ? 'safe' : 'last';
}

/** Notes that a snapshot is read now. What has not been read for a day is forgotten, and so is what is dated ahead. */
export function noteReading(
  known: readonly Reading[],
  { name, since = Number.POSITIVE_INFINITY }: { readonly name: string; readonly since?: number },
  now: number,
): Reading[] {
  const remembered = known.filter(({ last }) => last > now - forgottenAfterMs && last <= now + readGraceMs);
  const before = remembered.find((each) => each.name === name);
  const begun = Math.min(now, since, before?.since ?? now);
  return [...remembered.filter((each) => each.name !== name), { name, since: begun, last: now }];
}

/** For people: "being read since 2026-12-01T10:00Z". */
export function readInWords({ since }: Reading): string {
  return `being read since ${new Date(since).toISOString().slice(0, 16)}Z`;
}
