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
  /** Set for the first run of a client, which wrote its whole tree: it does not say what the next will need. */
  readonly first?: boolean;
  /** The part of the tree (0 to 1) that was gone or rewritten, by what was measured. */
  readonly changedPart?: number;
}

/** All that is known of one client. */
export interface History {
  /** Remaining snapshots, oldest first. */
  readonly entries: Entry[];
  /** The newest runs, oldest first; the last 31. */
  readonly runs: RunFigures[];
  /** See Client.middleYield. */
  middleYield: number;
  /** Learned: bytes on the disk for each byte that a run is said to have written; compression makes it less than 1. */
  diskRatio: number;
  /** True once something was deleted for room: how far its history goes back is then decided by space. */
  thinned: boolean;
}

/** What is usual is judged by the last thirty. */
const runsKept = 31;
const defaultYield = 0.5;
/** How much one deletion changes what is learned. */
const learning = 0.2;

export function emptyHistory(): History {
  return { entries: [], runs: [], middleYield: defaultYield, diskRatio: 1, thinned: false };
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
  if (older !== undefined) newer.diedBytes += figures.diedBytes - freedBytes;
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
    changedPart?: number;
  },
): void {
  const { name, time, status, changedPart } = run;
  const writtenBytes = run.writtenBytes * history.diskRatio;
  const diedBytes = run.diedBytes * history.diskRatio;
  const at = history.entries.findLastIndex((entry) => entry.time < time) + 1;
  history.entries.splice(at, 0, { name, time, status, bornBytes: writtenBytes, diedBytes });
  history.runs.push({
    time,
    writtenBytes,
    ...(history.runs.length === 0 ? { first: true } : {}),
    ...(changedPart === undefined ? {} : { changedPart }),
  });
  if (history.runs.length > runsKept) history.runs.splice(0, history.runs.length - runsKept);
}

/** What is known of a client between two measurings of its tree; bytes on the disk. */
export interface SinceMeasured {
  /** What its runs wrote. */
  readonly writtenBytes: number;
  /** What was recorded as gone from its tree. */
  readonly diedBytes: number;
}

/**
 * Sets right what a client's history was said to cost, by the measured size of its tree: what was written and is not in
 * the tree is history, whatever the client said of its growth.
 * @param grownBytes what the tree measured more than the time before, in bytes on the disk.
 * @returns what was added to the history; negative when too much had been counted.
 */
export function recordMeasure(history: History, since: SinceMeasured, grownBytes: number): number {
  const { entries } = history;
  const trueBytes = Math.max(0, since.writtenBytes - grownBytes);
  // The oldest one's never counts: no snapshot holds what was gone before it.
  const counted = entries.slice(1);
  const wrongBytes = Math.max(trueBytes - since.diedBytes, -historyBytes(entries));
  const weights = counted.map((entry) => (wrongBytes < 0 ? entry.diedBytes : Math.max(1, entry.bornBytes)));
  const sum = weights.reduce((all, weight) => all + weight, 0);
  if (sum <= 0) return 0;
  for (const [at, entry] of counted.entries()) entry.diedBytes += (wrongBytes * (weights[at] as number)) / sum;
  return wrongBytes;
}

/** What small files and metadata may cost more than their content; beyond it, it is not these runs that were charged. */
const mostRatio = 10;

/**
 * Corrects what some runs are said to have written by what the file system charged for all of them together: exact,
 * where it keeps simple quotas.
 */
export function recordCharge(history: History, names: ReadonlySet<string>, chargedBytes: number): void {
  const charged = history.entries.filter(({ name }) => names.has(name));
  const said = charged.reduce((sum, { bornBytes }) => sum + bornBytes, 0);
  if (said <= 0) return;
  const change = Math.min(mostRatio, Math.max(1 / mostRatio, chargedBytes / said));
  history.diskRatio *= change;
  const times = new Set(charged.map(({ time }) => time));
  for (const entry of charged) {
    entry.bornBytes *= change;
    entry.diedBytes *= change;
  }
  for (const [at, run] of history.runs.entries())
    if (times.has(run.time)) history.runs[at] = { ...run, writtenBytes: run.writtenBytes * change };
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
  entries.splice(at, 1);
  history.thinned = true;
  if (newer === undefined) return;
  if (freedBytes !== undefined && older === undefined) learnRatio(history, expected, freed);
  if (freedBytes !== undefined && older !== undefined)
    learnYield(history, Math.min(entry.bornBytes, newer.diedBytes), freed);
  moveOn(entry, older, newer, freed);
  settle(entries, at);
}

/** What was freed beyond what an entry had is taken from the newer ones, so that the sum stays what the disk says. */
function settle(entries: Entry[], from: number): void {
  let owedBytes = 0;
  for (let at = from; at < entries.length; at += 1) {
    const entry = entries[at] as Entry;
    entry.diedBytes -= owedBytes;
    if (entry.diedBytes >= 0) return;
    owedBytes = -entry.diedBytes;
    entry.diedBytes = 0;
  }
}

/** What the deletion of one between two others really freed tells what the next such will free. */
function learnYield(history: History, mostBytes: number, freedBytes: number): void {
  if (mostBytes <= 0) return;
  const seen = Math.min(1, freedBytes / mostBytes);
  history.middleYield = Math.min(1, Math.max(0.01, history.middleYield * (1 - learning) + seen * learning));
}

/** The deletion of the oldest frees exactly what is recorded, so that any difference is one of measure. */
function learnRatio(history: History, expectedBytes: number, freedBytes: number): void {
  if (expectedBytes <= 0) return;
  const seen = Math.min(4, Math.max(0.25, freedBytes / expectedBytes));
  const change = 1 - learning + seen * learning;
  history.diskRatio *= change;
  for (const entry of history.entries) {
    entry.bornBytes *= change;
    entry.diedBytes *= change;
  }
}
