import { join } from 'node:path';
import { historyBytes, recordMeasure } from '../../retention/history.ts';
import { treeBytes } from '../../system/btrfs/tree-size.ts';
import type { Log } from '../../system/log.ts';
import type { Ledger, LedgerClient, LedgerLine } from '../ledger.ts';
import type { StoredSnapshot } from './contents.ts';

/** One tree is measured for this long at most. */
const measureMs = 10 * 60_000;
/** Less than this part of the store is not worth going through a tree. */
const doubtedPart = 0.005;
/** Nor is less than this part of the tree itself. */
const doubtedTreePart = 0.02;

/**
 * Growth that nobody has measured yet, in bytes: what was written and is said to be in the tree. How large a tree is, is the
 * client's word until it is measured.
 */
export function unmeasuredGrowth({ history, measured }: LedgerClient): number {
  if (measured !== undefined) return measured.writtenBytes - measured.diedBytes;
  return sinceOldest(history).writtenBytes - sinceOldest(history).diedBytes;
}

function sinceOldest({ entries }: LedgerClient['history']) {
  const writtenBytes = entries.slice(1).reduce((sum, { bornBytes }) => sum + bornBytes, 0);
  return { writtenBytes, diedBytes: historyBytes(entries) };
}

/**
 * Measures the trees of the clients that claim to have grown, before anybody pays for the history of anybody: what was
 * written and is not in the tree is history. Snapshots are measured, which nobody can change meanwhile.
 */
export async function measureClaims(
  ledger: Ledger,
  contents: ReadonlyMap<string, readonly StoredSnapshot[]>,
  { totalBytes, now, log }: { readonly totalBytes: number; readonly now: Date; readonly log: Log },
): Promise<LedgerLine[]> {
  const lines: LedgerLine[] = [];
  for (const [client, snapshots] of contents) {
    const its = ledger.clients[client];
    const oldest = snapshots[0];
    const newest = snapshots.at(-1);
    if (its === undefined || oldest === undefined || newest === undefined || oldest === newest) continue;
    const doubted = Math.abs(unmeasuredGrowth(its));
    const ratio = its.history.diskRatio;
    const worth = Math.max(totalBytes * doubtedPart, (its.measured?.treeBytes ?? 0) * ratio * doubtedTreePart);
    if (doubted < worth) continue;
    const before = its.measured?.treeBytes ?? (await treeBytes(pathOf(oldest), measureMs));
    const after = before === undefined ? undefined : await treeBytes(pathOf(newest), measureMs);
    const since = its.measured ?? sinceOldest(its.history);
    if (before === undefined || after === undefined) {
      // What cannot be measured is not believed: it counts as history until it can.
      log.warn(`${client}: its files could not be measured; what it wrote counts as history`);
      recordMeasure(its.history, since, 0);
      if (its.measured !== undefined) its.measured = { ...its.measured, diedBytes: since.writtenBytes };
      continue;
    }
    const addedBytes = Math.round(recordMeasure(its.history, since, (after - before) * ratio));
    its.measured = { treeBytes: after, writtenBytes: 0, diedBytes: 0 };
    lines.push({ at: now.toISOString(), event: 'measured', client, treeBytes: after, addedBytes });
    log.info(`${client}: its files take ${after} bytes; ${addedBytes} bytes were added to what its history costs`);
  }
  return lines;
}

function pathOf({ directory, name }: StoredSnapshot): string {
  return join(directory, name);
}
