import { totalmem } from 'node:os';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { floorBytes, judgeRun, newcomerLimitBytes, roomStepBytes } from '../../retention/admission.ts';
import { growthLimitBytes } from '../../retention/guards.ts';
import { emptyHistory } from '../../retention/history.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';
import { recordEvent } from '../events.ts';
import { holdForGrowth, readHolds } from '../holds.ts';
import { appendToLedger, type Ledger, readLedger } from '../ledger.ts';
import { listClientNames } from '../store.ts';
import { tooLarge } from '../too-large.ts';
import { unfinishedBytes } from './holders.ts';
import type { PruneDeps, PruneReport } from './types.ts';
import { inBytes } from './words.ts';

/** What a run that was let in is held to. */
export interface Admitted {
  /** The most that it may write while space is short; null when nothing is known to be too much. Bytes. */
  readonly limitBytes: number | null;
  /** Space is short when less than this is free. Bytes. */
  readonly floorBytes: number;
  /** Room is made for it in such steps, as it writes, so that this much stays free. Bytes. */
  readonly leastFreeBytes: number;
  readonly stepBytes: number;
}

/** No run below this part of the store is ever suspicious. */
const harmlessPart = 0.01;

/**
 * Lets a run in, or does not: it must fit, if need be after pruning, and it must not be suddenly much larger than usual
 * and cost history. For what it announces nothing is deleted: that is done as it writes (see make-room.ts).
 * @throws BytebackError storeFull when it is too large to have room made for it, or no room can be made.
 */
export async function admit(client: ClientName, announcedBytes: number, deps: PruneDeps): Promise<Admitted> {
  const { store, config, log } = deps;
  const [ledger, holds, first] = await Promise.all([readLedger(store, log), readHolds(store), freeSpace(store.root)]);
  const runs = (ledger.clients[client]?.history ?? emptyHistory()).runs;
  const allowed = holds.allowGrowth.some((entry) => entry.client === client);
  const { startPercent, growthFactor } = config.prune;
  const { totalBytes } = first;
  const usualLimit = growthLimitBytes(runs, { factor: growthFactor, floorBytes: totalBytes * harmlessPart });
  const isNew = !Number.isFinite(usualLimit);
  const limitBytes = isNew
    ? Math.max(totalBytes * harmlessPart, await shareOfNewcomer(client, totalBytes, ledger, deps))
    : usualLimit;
  const judge = (freeBytes: number) =>
    judgeRun({ announcedBytes, limitBytes, allowed, freeBytes, totalBytes, startPercent });
  const start = (totalBytes * startPercent) / 100;
  const admitted: Admitted = {
    limitBytes: allowed ? null : Math.max(limitBytes, announcedBytes),
    floorBytes: start,
    leastFreeBytes: floorBytes(totalBytes, start),
    stepBytes: roomStepBytes(totalBytes),
  };
  // What is only in memory yet is not counted; that cannot be more than a part of the memory.
  if (judge(first.freeBytes - totalmem() / 2).verdict === 'go') return admitted;
  await syncFileSystem(store.root);
  const { freeBytes } = await freeSpace(store.root);
  const admission = judge(freeBytes);
  if (admission.verdict === 'go') return admitted;
  if (admission.verdict === 'too-large') {
    const most = isNew
      ? `little is known of it yet, and its share of the store has room for ${inBytes(limitBytes)}`
      : `its runs wrote ${inBytes(limitBytes / growthFactor)} or less`;
    await refuseAsTooLarge(client, `its next run announced ${inBytes(announcedBytes)}; ${most}`, announcedBytes, deps);
    throw tooLarge(client, announcedBytes, limitBytes);
  }
  // Loaded only when it is needed: most runs find room.
  const { prune } = await import('./prune.ts');
  const { aimBytes, leastBytes } = admission;
  const planned = await prune({ mode: 'dry-run', order: 'importance', demand: { client, aimBytes, leastBytes } }, deps);
  const reachable = planned.outcome === 'refused' ? freeBytes : planned.freeBytesAfter;
  if (reachable < leastBytes) throw noRoom(announcedBytes, freeBytes, leastBytes, planned);
  if (freeBytes >= admitted.leastFreeBytes) return admitted;
  // There is not even room to begin with, so a part of a step is made now; what it announces does not matter for it.
  const toBegin = admitted.leastFreeBytes + Math.min(announcedBytes, admitted.stepBytes / 4);
  const demand = { client, aimBytes: toBegin, leastBytes: toBegin };
  const report = await prune({ mode: 'run', order: 'importance', demand }, deps);
  if ((await freeSpace(store.root)).freeBytes >= admitted.leastFreeBytes) return admitted;
  throw noRoom(announcedBytes, freeBytes, leastBytes, report);
}

/** What the share of a client of whom little is known still has room for, its files of today counted. */
async function shareOfNewcomer(
  client: ClientName,
  totalBytes: number,
  ledger: Ledger,
  { store, config }: PruneDeps,
): Promise<number> {
  const names = new Set([...(await listClientNames(store)), client]);
  const allWeights = [...names].reduce((sum, name) => sum + config.policyOf(name).weight, 0);
  const entries = ledger.clients[client]?.history.entries ?? [];
  const hasBytes =
    entries.reduce((sum, { bornBytes }) => sum + bornBytes, 0) + (await unfinishedBytes(store, client, ledger));
  return newcomerLimitBytes({ totalBytes, weight: config.policyOf(client).weight, allWeights, hasBytes });
}

/** Has the admin hear of a run that is suddenly much larger, and holds what was there before it. */
async function refuseAsTooLarge(
  client: ClientName,
  reason: string,
  announcedBytes: number,
  { store, clock, log }: PruneDeps,
): Promise<void> {
  const ledger = await readLedger(store, log);
  log.warn(`${client} is refused: ${reason}`);
  await holdForGrowth(store, clock, client, ledger.clients[client]?.history.entries.at(-1)?.name, reason);
  const at = clock.now().toISOString();
  await appendToLedger(store, [{ at, event: 'refused', client, why: reason, announcedBytes }], log);
  await recordEvent(store, {
    at,
    kind: 'growth',
    client,
    what: `a backup of ${client} is refused: it is suddenly much larger`,
    why: reason,
  });
}

function noRoom(announcedBytes: number, freeBytes: number, leastBytes: number, report: PruneReport): BytebackError {
  const reserve = inBytes(leastBytes - announcedBytes);
  const reasons = [report.why ?? 'no more may be deleted', ...(report.holders === undefined ? [] : [report.holders])];
  return new BytebackError('storeFull', {
    what: 'the store is full',
    why: `${inBytes(announcedBytes)} are announced and ${inBytes(freeBytes)} free, ${reserve} of them in reserve; ${reasons.join('; ')}`,
    fix: `on the server: look at byteback-prune --list, release what is held, lower keep or weights in server.toml, or enlarge the disk`,
  });
}
