import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { entriesAfter } from '../catalogue/part.ts';
import { parentOf } from '../catalogue/record.ts';
import { escapeName } from '../protocol/file-name.ts';
import { writeFileAtomically } from '../system/files.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import type { Plan } from './plan.ts';
import type { KnownChanges } from './sending.ts';
import { type TransferContext, transfer, type Unread } from './transfer.ts';

/** All of the tree is compared by checksum in this time, a part at each run. */
const roundMs = 30 * 24 * 3_600_000;
/** What looking at one entry costs besides its bytes, in bytes. */
const entryWeight = 4096;
/** Findings that are named. */
const mostNamed = 10;

/** What the check of one run looked at and found. */
export interface CheckEnd {
  readonly status: 'ok' | 'partial';
  readonly unread: Unread[];
  readonly directories: number;
  /** Differences that no other step had seen, escaped; they are put right. None is the promise. */
  readonly findings: readonly string[];
  readonly checkedUpTo: string;
  readonly checkedAt: number;
}

/**
 * Compares the next part of the tree by checksum, directory by directory, what lies in excess on the server included.
 * The part is as large as the time since the last one: after 30 days everything was looked at.
 */
export async function checkPart(
  context: TransferContext,
  plan: Plan,
  known: KnownChanges,
  { workDirectory, now }: { workDirectory: string; now: number },
): Promise<CheckEnd> {
  const { catalogue } = known;
  const { files, bytes } = known.plan.totals;
  const share = Math.min(1, Math.max(0, now - catalogue.checkedAt) / roundMs);
  const weight = (bytes + files * entryWeight) * share;
  const nothing = { status: 'ok', unread: [], directories: 0, findings: [] } as const;
  // Too little for a session of its own: the next run has that much more to do.
  if (weight < entryWeight) {
    return { ...nothing, unread: [], checkedUpTo: catalogue.checkedUpTo, checkedAt: catalogue.checkedAt };
  }
  const { directories, checkedUpTo } = nextPart(plan, catalogue.checkedUpTo, weight);
  if (directories.length === 0) return { ...nothing, unread: [], checkedUpTo, checkedAt: now };
  const listFile = join(workDirectory, 'check');
  // A slash at the end: with what is in it.
  const names = directories.map((path) => `${path === '/' ? '.' : path.slice(1)}/\0`);
  await writeFileAtomically(listFile, Buffer.from(names.join(''), 'latin1'), { mode: 0o600 });
  const findings: string[] = [];
  const onItem = (item: RsyncItem) => {
    if (!isNewerThan(item.name, plan.scan.beganAt))
      findings.push(escapeName(Buffer.concat([Buffer.from('/'), item.name])));
  };
  context.log.step(`checking ${directories.length} directories by checksum`);
  const end = await transfer({ ...context, onItem }, { kind: 'check', listFile }, workDirectory);
  if (findings.length > 0) {
    const named = findings.slice(0, mostNamed).join(', ');
    context.log.warn(`the check by checksum found ${findings.length} differences, and put them right: ${named}`);
  }
  return { ...end, directories: directories.length, findings, checkedUpTo, checkedAt: now };
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
