import { lstatSync } from 'node:fs';
import { entriesAfter } from '../catalogue/part.ts';
import { parentOf } from '../catalogue/record.ts';
import { escapeName } from '../protocol/file-name.ts';
import type { Log } from '../system/log.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import type { Plan } from './plan.ts';
import type { KnownChanges } from './sending.ts';

/** What looking at one entry costs besides its bytes, in bytes. */
const entryWeight = 4096;
/** Findings that are named. */
const mostNamed = 10;

/** The part of the tree that a run checks, and what it found. */
export interface CheckPart {
  readonly directories: readonly string[];
  readonly onFinding: (item: RsyncItem) => void;
  /** Differences that no other step had seen, escaped; they are put right. None is the promise. */
  readonly findings: readonly string[];
  readonly checkedUpTo: string;
  readonly checkedAt: number;
}

/**
 * The next part of the tree to compare by checksum, directory by directory, what lies in excess on the server included.
 * It is as large as the time since the last one: after `everyMs` everything was looked at.
 * @param now in milliseconds since 1970
 */
export function nextCheck(
  plan: Plan,
  known: KnownChanges,
  { now, everyMs }: { now: number; everyMs: number },
): CheckPart {
  const { catalogue } = known;
  const { files, bytes } = known.plan.totals;
  const share = Math.min(1, Math.max(0, now - catalogue.checkedAt) / everyMs);
  const weight = (bytes + files * entryWeight) * share;
  const findings: string[] = [];
  const onFinding = (item: RsyncItem) => {
    if (!isNewerThan(item.name, plan.scan.beganAt))
      findings.push(escapeName(Buffer.concat([Buffer.from('/'), item.name])));
  };
  // Too little to be worth it: the next run has that much more to do.
  if (weight < entryWeight) {
    const { checkedUpTo, checkedAt } = catalogue;
    return { directories: [], onFinding, findings, checkedUpTo, checkedAt };
  }
  const { directories, checkedUpTo } = nextPart(plan, catalogue.checkedUpTo, weight);
  return { directories, onFinding, findings, checkedUpTo, checkedAt: now };
}

/** Says what the check found. */
export function tellFindings({ findings }: CheckPart, log: Log): void {
  if (findings.length === 0) return;
  const named = findings.slice(0, mostNamed).join(', ');
  log.warn(`the check by checksum found ${findings.length} differences, and put them right: ${named}`);
}

/** The directories that are next, until their weight is reached; at the end it begins anew with the next run. */
function nextPart(plan: Plan, from: string, weight: number): { directories: string[]; checkedUpTo: string } {
  const directories: string[] = [];
  let left = weight;
  let checkedUpTo = from;
  const ended = entriesAfter(plan.scan.file, from, (entry) => {
    if (left <= 0) return false;
    // Weighed as the totals are, which know of no directories.
    if (entry.type !== 'd') left -= entryWeight;
    if (entry.type === 'f') left -= entry.sizeBytes / Math.max(1, entry.links);
    checkedUpTo = entry.path;
    if (entry.type === 'd' && plan.taken?.(entry.path, true)) directories.push(entry.path);
    return true;
  });
  return { directories, checkedUpTo: ended ? '' : checkedUpTo };
}

/** What changed since the scan, or whose directory did, is no finding. */
function isNewerThan(name: Buffer, seconds: number): boolean {
  const path = `/${name.toString('latin1')}`.replace(/(.)\/$/, '$1');
  for (const place of [path, parentOf(path)]) {
    try {
      if (lstatSync(Buffer.from(place, 'latin1')).ctimeMs / 1000 >= seconds - 2) return true;
    } catch {
      // It has vanished meanwhile: its directory tells.
    }
  }
  return false;
}
