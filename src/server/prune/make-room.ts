import type { ClientName } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';
import { readLedger } from '../ledger.ts';
import { tooLarge } from '../too-large.ts';
import { unfinishedBytes } from './holders.ts';
import { prune } from './prune.ts';
import type { PruneDeps } from './types.ts';
import { inBytes } from './words.ts';

/** A run may write this much more than it announced at others' expense: for metadata, and for what it could only guess. */
const announcedMargin = 1.05;

/**
 * Makes one step of room for a run that is writing. What counts is what is free on the disk now: whoever asks without having
 * written finds the step still there, and nothing more goes.
 * @returns why there is no more, or undefined.
 */
export async function makeRoom(
  client: ClientName,
  { growth, expectedBytes }: Pick<RunRecord, 'growth' | 'expectedBytes'>,
  deps: PruneDeps,
): Promise<string | undefined> {
  const { store, log } = deps;
  if (growth?.leastFreeBytes === undefined || growth.stepBytes === undefined) return 'no room was promised to this run';
  const { leastFreeBytes, stepBytes, limitBytes } = growth;
  const aimBytes = leastFreeBytes + stepBytes;
  await syncFileSystem(store.root);
  if ((await freeSpace(store.root)).freeBytes >= aimBytes) return undefined;
  const written = await unfinishedBytes(store, client, await readLedger(store, log));
  if (limitBytes !== null && written > limitBytes) return tooLarge(client, written, limitBytes).explanation.why;
  // What it announced was judged when it was let in; nobody pays for more.
  if (written > expectedBytes * announcedMargin) {
    return `it announced ${inBytes(expectedBytes)} and has written ${inBytes(written)}; nobody else pays for what was not announced`;
  }
  const demand = { client, aimBytes, leastBytes: leastFreeBytes + stepBytes / 4 };
  const report = await prune({ mode: 'run', order: 'importance', demand }, deps);
  return report.outcome === 'short' || report.outcome === 'refused' || report.outcome === 'busy'
    ? (report.why ?? 'no more may be deleted')
    : undefined;
}
