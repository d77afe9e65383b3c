import type { Snapshot } from './types.ts';

/**
 * What the history of one client costs, kept as two figures for each remaining snapshot (see Snapshot in types.ts) and
 * carried on from run to run and from deletion to deletion. The disk is asked after each deletion, and what it says
 * replaces what was guessed.
 */

/** The figures of one remaining snapshot. */
export interface Figures {
  bornBytes: number;
  diedBytes: number;
}

/** One remaining snapshot of a client; a Snapshot whose figures still change. */
export interface Entry extends Figures {
  readonly name: string;
  readonly time: number;
  readonly status: Snapshot['status'];
}

/** One completed run. */
export interface RunFigures {
  readonly time: number;
  /** Bytes that it wrote to the disk. */
  readonly writtenBytes: number;
  /** Set for the first run of a client and for one that the admin let through: neither says what the next will need. */
  readonly extraordinary?: boolean;
}

/** All that is known of one client. */
export interface History {
  /** Remaining snapshots, oldest first. */
  readonly entries: Entry[];
  /** The newest runs, oldest first; at most `runsKept`. */
  readonly runs: RunFigures[];
  /** See Client.middleYield. */
  middleYield: number;
}

/** The need of the next run is judged by the last ten; some more are kept for those that do not count. */
export const runsKept = 30;
const defaultYield = 0.5;
/** How much one deletion changes what is learned. */
const learning = 0.2;

export function emptyHistory(): History {
  return { entries: [], runs: [], middleYield: defaultYield };
}

/** Bytes that the snapshots of a client, oldest first, hold beyond its present tree. */
export function historyBytes(entries: readonly Figures[]): number {
  let bytes = 0;
  for (let at = 1; at < entries.length; at += 1) bytes += (entries[at] as Figures).diedBytes;
  return bytes;
}

/**
 * What deleting one snapshot is expected to free. Of the oldest it is exactly what had died when the next was taken.
 * Of one between two others it is what was born after the one before it and had died at the one after it: the ledger
 * knows an upper bound, and what part of that it has been so far. The newest shares everything with the tree.
 */
export function expectedToFree(
  figures: Figures,
  older: Figures | undefined,
  newer: Figures | undefined,
  middleYield = defaultYield,
): number {
  if (newer === undefined) return 0;
  if (older === undefined) return newer.diedBytes;
  return Math.min(figures.bornBytes, newer.diedBytes) * middleYield;
}

/** Hands the figures of a deleted snapshot on to the next newer one; what was freed is nobody's any more. */
export function moveOn(figures: Figures, older: Figures | undefined, newer: Figures, freedBytes: number): void {
  newer.bornBytes = Math.max(0, newer.bornBytes + figures.bornBytes - freedBytes);
  // What died at the oldest one had been held by none: it never counted, and the next is the oldest now.
  if (older !== undefined) newer.diedBytes = Math.max(0, newer.diedBytes + figures.diedBytes - freedBytes);
}

/**
 * Records a run that completed with a snapshot.
 * @param run diedBytes: what left the client's tree since the snapshot before.
 */
export function recordRun(
  history: History,
  run: {
    name: string;
    time: number;
    status: Snapshot['status'];
    writtenBytes: number;
    diedBytes: number;
    extraordinary?: boolean;
  },
): void {
  const { name, time, status, writtenBytes, diedBytes } = run;
  const at = history.entries.findLastIndex((entry) => entry.time < time) + 1;
  history.entries.splice(at, 0, { name, time, status, bornBytes: writtenBytes, diedBytes });
  const extraordinary = run.extraordinary === true || history.runs.length === 0;
  history.runs.push({ time, writtenBytes, ...(extraordinary ? { extraordinary } : {}) });
  if (history.runs.length > runsKept) history.runs.splice(0, history.runs.length - runsKept);
}

/**
 * Records that a snapshot is gone.
 * @param freedBytes what the disk says that it freed; undefined when nobody watched: the guess stands then.
 */
export function recordDeletion(history: History, name: string, freedBytes: number | undefined): void {
  const { entries } = history;
  const at = entries.findIndex((entry) => entry.name === name);
  const entry = entries[at];
  if (entry === undefined) return;
  const older = entries[at - 1];
  const newer = entries[at + 1];
  const expected = expectedToFree(entry, older, newer, history.middleYield);
  const freed = Math.max(0, freedBytes ?? expected);
  if (freedBytes !== undefined && older !== undefined && newer !== undefined) learn(history, entry, newer, freed);
  entries.splice(at, 1);
  if (newer !== undefined) moveOn(entry, older, newer, freed);
}

function learn(history: History, entry: Figures, newer: Figures, freedBytes: number): void {
  const most = Math.min(entry.bornBytes, newer.diedBytes);
  if (most <= 0) return;
  const seen = Math.min(1, freedBytes / most);
  history.middleYield = Math.min(1, Math.max(0.01, history.middleYield * (1 - learning) + seen * learning));
}
