import { totalmem } from 'node:os';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { judgeRun } from '../../retention/admission.ts';
import { growthLimitBytes } from '../../retention/guards.ts';
import { emptyHistory } from '../../retention/history.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';
import { recordEvent } from '../events.ts';
import { holdForGrowth, readHolds } from '../holds.ts';
import { appendToLedger, readLedger } from '../ledger.ts';
import { tooLarge } from '../too-large.ts';
import type { PruneDeps } from './types.ts';
import { inBytes } from './words.ts';

/** What a run that was let in is held to. */
export interface Admitted {
  /** The most that it may write while space is short; null when nothing is known to be too much. Bytes. */
  readonly limitBytes: number | null;
  /** Space is short when less than this is free. Bytes. */
  readonly floorBytes: number;
}

/** No run below this part of the store is ever suspicious. */
const harmlessPart = 0.01;

/**
 * Lets a run in, or does not: it must fit, if need be after pruning, and it must not be suddenly much larger than usual
 * and cost history.
 * @throws BytebackError storeFull when it is too large to have room made for it, or no room can be made.
 */
export async function admit(client: ClientName, announcedBytes: number, deps: PruneDeps): Promise<Admitted> {
  const { store, config, log, clock } = deps;
  const [ledger, holds, first] = await Promise.all([readLedger(store, log), readHolds(store), freeSpace(store.root)]);
  const runs = (ledger.clients[client]?.history ?? emptyHistory()).runs;
  const allowed = holds.allowGrowth.some((entry) => entry.client === client);
  const { startPercent, growthFactor } = config.prune;
  const { totalBytes } = first;
  const limitBytes = growthLimitBytes(runs, { factor: growthFactor, floorBytes: totalBytes * harmlessPart });
  const judge = (freeBytes: number) =>
    judgeRun({ announcedBytes, limitBytes, allowed, freeBytes, totalBytes, startPercent });
  const admitted: Admitted = {
    limitBytes: allowed || !Number.isFinite(limitBytes) ? null : Math.max(limitBytes, announcedBytes),
    floorBytes: (totalBytes * startPercent) / 100,
  };
  // What is only in memory yet is not counted; that cannot be more than a part of the memory.
  if (judge(first.freeBytes - totalmem() / 2).verdict === 'go') return admitted;
  await syncFileSystem(store.root);
  const admission = judge((await freeSpace(store.root)).freeBytes);
  if (admission.verdict === 'go') return admitted;
  if (admission.verdict === 'too-large') {
    const usual = `its runs wrote ${inBytes(limitBytes / growthFactor)} or less`;
    const reason = `its next run announced ${inBytes(announcedBytes)}; ${usual}`;
    log.warn(`${client} is refused: ${reason}`);
    await holdForGrowth(store, clock, client, ledger.clients[client]?.history.entries.at(-1)?.name, reason);
    await appendToLedger(
      store,
      [{ at: clock.now().toISOString(), event: 'refused', client, why: reason, announcedBytes }],
      log,
    );
    await recordEvent(store, {
      at: clock.now().toISOString(),
      kind: 'growth',
      client,
      what: `a backup of ${client} is refused: it is suddenly much larger`,
      why: reason,
    });
    throw tooLarge(client, announcedBytes, limitBytes);
  }
  // Loaded only when it is needed: most runs find room.
  const { prune } = await import('./prune.ts');
  const { aimBytes, leastBytes } = admission;
  const report = await prune({ mode: 'run', order: 'importance', demand: { client, aimBytes, leastBytes } }, deps);
  const { freeBytes } = await freeSpace(store.root);
  if (freeBytes >= leastBytes) return admitted;
  throw new BytebackError('storeFull', {
    what: 'the store is full',
    why: `${inBytes(announcedBytes)} are announced and ${inBytes(freeBytes)} free, ${inBytes(leastBytes - announcedBytes)} of them in reserve; ${report.why ?? 'no more may be deleted'}`,
    fix: `on the server: look at byteback-prune --list, release what is held, lower keep or weights in server.toml, or enlarge the disk`,
  });
}
