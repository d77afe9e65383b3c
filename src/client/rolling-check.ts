import { lstatSync } from 'node:fs';
import type { Totals } from '../catalogue/changes.ts';
import { entriesAfter } from '../catalogue/part.ts';
import { parentOf } from '../catalogue/record.ts';
import type { Scan } from '../catalogue/scan.ts';
import type { Taken } from '../catalogue/taken.ts';
import { escapeName } from '../protocol/file-name.ts';
import type { Log } from '../system/log.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import type { Plan } from './plan.ts';
import type { KnownChanges } from './sending.ts';
import { pathOf } from './transfer.ts';

/** What looking at one entry costs besides its bytes, in bytes. */
const entryWeight = 4096;
/** A part that weighs less waits for the next run, unless it is a good part of a small tree: a thirtieth. */
const leastWeight = 1024 * 1024;
const leastParts = 30;
/** Larger files are read in order by whoever reads them, and the kernel reads ahead of him. */
const smallBytes = 1024 * 1024;
/** More file names than this are not kept. */
const mostFiles = 100_000;
/** Findings that are named. */
const mostNamed = 10;

/** The part of the tree that is due to be checked. */
export interface Due {
  /** Absolute, as byte strings. */
  readonly directories: readonly string[];
  /** The small files in it, sorted: what is worth reading ahead. */
  readonly files: readonly string[];
  /** What the next catalogue says of how far the check has come: see there. */
  readonly checkedUpTo: string;
  readonly checkedAt: number;
}

/** The part of the tree that a run checks, and what it found. */
export interface CheckPart extends Due {
  readonly onFinding: (item: RsyncItem) => void;
  /** Differences that no other step had seen, escaped; they are put right. None is the promise. */
  readonly findings: readonly string[];
}

/** When it is, in milliseconds since 1970, and how long a check of everything takes. */
export interface CheckTimes {
  readonly now: number;
  readonly everyMs: number;
}

/** A tree as a file of records tells it. */
export interface RecordedTree {
  readonly file: string;
  readonly taken: Taken | undefined;
  readonly totals: Totals;
  /** How far the check has come. */
  readonly last: Pick<Due, 'checkedUpTo' | 'checkedAt'>;
}

/**
 * The next part of the tree to compare by checksum, directory by directory, what lies in excess on the server included.
 * It is as large as the time since the last one: after `everyMs` everything was looked at.
 */
export function duePart(tree: RecordedTree, times: CheckTimes): Due {
  const { checkedUpTo, checkedAt } = tree.last;
  const weight = weightOf(tree, times);
  // Too little to be worth a session: the next run has that much more to do.
  if (weight < Math.min(leastWeight, weightOfAll(tree) / leastParts))
    return { directories: [], files: [], checkedUpTo, checkedAt };
  return { ...nextPart(tree, weight), checkedAt: times.now };
}

/** What looking at the part that is due costs, in bytes. */
export function weightOf(tree: RecordedTree, { now, everyMs }: CheckTimes): number {
  const share = Math.min(1, Math.max(0, now - tree.last.checkedAt) / everyMs);
  return weightOfAll(tree) * share;
}

function weightOfAll({ totals }: RecordedTree): number {
  return totals.bytes + totals.files * entryWeight;
}

/** The part that is due now, to be checked by the run itself. */
export function nextCheck(plan: Plan, known: KnownChanges, times: CheckTimes): CheckPart {
  const { scan, taken } = plan;
  const due = duePart({ file: scan.file, taken, totals: known.plan.totals, last: known.catalogue }, times);
  return checkPart(due, scan);
}

/** A part that a run checks, nothing found yet. */
export function checkPart(due: Due, { beganAt, root }: Pick<Scan, 'beganAt' | 'root'>): CheckPart {
  const findings: string[] = [];
  const onFinding = ({ name }: RsyncItem) => {
    if (!isNewerThan(pathOf(name), beganAt, root)) findings.push(escapeName(Buffer.concat([Buffer.from('/'), name])));
  };
  return { ...due, onFinding, findings };
}

/** Says what the check found. */
export function tellFindings({ findings }: CheckPart, log: Log): void {
  if (findings.length === 0) return;
  const named = findings.slice(0, mostNamed).join(', ');
  log.warn(`the check by checksum found ${findings.length} differences, and put them right: ${named}`);
}

/** The directories that are next, until their weight is reached; at the end it begins anew with the next run. */
function nextPart({ file, taken, last }: RecordedTree, weight: number): Omit<Due, 'checkedAt'> {
  const directories: string[] = [];
  const files: string[] = [];
  let left = weight;
  let { checkedUpTo } = last;
  const ended = entriesAfter(file, last.checkedUpTo, (entry) => {
    if (left <= 0) return false;
    // Weighed as the totals are, which know of no directories.
    if (entry.type !== 'd') left -= entryWeight;
    if (entry.type === 'f') left -= entry.sizeBytes / Math.max(1, entry.links);
    checkedUpTo = entry.path;
    if (entry.type === 'd' && taken?.(entry.path, true)) directories.push(entry.path);
    const isSmall = entry.type === 'f' && entry.sizeBytes > 0 && entry.sizeBytes < smallBytes;
    if (isSmall && files.length < mostFiles && taken?.(entry.path, false)) files.push(entry.path);
    return true;
  });
  return { directories, files, checkedUpTo: ended ? '' : checkedUpTo };
}

/** What changed since the scan, or whose directory did, is no finding. */
function isNewerThan(path: string, seconds: number, root: string): boolean {
  for (const place of [path, parentOf(path)]) {
    try {
      if (lstatSync(Buffer.from(root + place, 'latin1')).ctimeMs / 1000 >= seconds - 2) return true;
    } catch {
      // It has vanished meanwhile: its directory tells.
    }
  }
  return false;
}
