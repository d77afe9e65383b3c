import type { StoreStatus } from '../report/fleet.ts';
import { leastFreeBytes } from '../retention/admission.ts';

/** What decides how the state of a store is told. */
export interface StoreFacts {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly startPercent: number;
  /** What pruning may still free: history that nothing protects. */
  readonly prunableBytes: number;
  readonly nextRunsBytes: number;
  /** Something had to be pruned for room already. */
  readonly thinned: boolean;
  readonly metadataShort: boolean;
}

type Told = Pick<StoreStatus, 'state' | 'nextRunsFit' | 'inWords'>;

/**
 * A full store is no fault: it is what byteback aims at. So the words say whether the space is used as intended, and
 * whether what comes next has room.
 */
export function tellSpace(facts: StoreFacts): Told {
  const { totalBytes, freeBytes, startPercent, prunableBytes, nextRunsBytes, thinned, metadataShort } = facts;
  const used = `${Math.round((100 * (totalBytes - freeBytes)) / Math.max(1, totalBytes))} %`;
  const reachableBytes = freeBytes + prunableBytes;
  // Then each run is refused, whatever the next ones are expected to write.
  const stuck = reachableBytes < leastFreeBytes(nextRunsBytes, totalBytes, startPercent);
  const fitNow = !stuck && freeBytes >= nextRunsBytes;
  const nextRunsFit = fitNow || (!stuck && reachableBytes >= nextRunsBytes);
  const next = fitNow
    ? 'next backups fit'
    : nextRunsFit
      ? 'next backups fit once old history is pruned'
      : 'next backups do NOT fit';
  // Pruning keeps `start` free as long as it has something to prune; half of it is what a busy hour may take.
  const low = freeBytes < (totalBytes * startPercent) / 200;
  if (metadataShort) {
    return { state: 'short', nextRunsFit, inWords: `short of room for metadata, ${used} of the space used; ${next}` };
  }
  if (stuck && reachableBytes >= nextRunsBytes) {
    const why = prunableBytes > 0 ? 'little of its history may be pruned' : 'all of its history is protected';
    return { state: 'short', nextRunsFit, inWords: `short of room: ${used} used, and ${why}; ${next}` };
  }
  if (low || !nextRunsFit) {
    return {
      state: 'short',
      nextRunsFit,
      inWords: `short of room: ${used} used, and pruning has not freed enough; ${next}`,
    };
  }
  if (thinned || freeBytes < (totalBytes * startPercent * 2) / 100) {
    return { state: 'full-of-history', nextRunsFit, inWords: `full of history: ${used} used as intended, ${next}` };
  }
  return {
    state: 'filling',
    nextRunsFit,
    inWords: `filling with history: ${used} used, nothing had to go yet, ${next}`,
  };
}
