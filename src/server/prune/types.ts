import type { ServerConfig } from '../../config/server-config.ts';
import type { ClientName } from '../../protocol/names.ts';
import type { Decision, PruneOrder } from '../../retention/types.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import type { Store } from '../store.ts';

/** What a prune is asked for. */
export interface PruneOptions {
  /** `list`: the order in which everything would go; `dry-run`: what would go now; `run`: delete it. */
  readonly mode: 'list' | 'dry-run' | 'run';
  readonly order: PruneOrder;
  /** Free space to reach, in bytes or percent, instead of what the settings say. */
  readonly freeTarget?: number | { readonly percent: number };
  /**
   * A run that waits for room: `aimBytes` free would be good, `leastBytes` must be, and for those its client may pay
   * with its own history, whatever its share.
   */
  readonly demand?: { readonly client: ClientName; readonly aimBytes: number; readonly leastBytes: number };
  /** The admin has seen what changed settings would delete. */
  readonly confirm?: boolean;
}

/** What a prune needs. */
export interface PruneDeps {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

/** One snapshot that was deleted. */
export interface Deletion {
  readonly client: string;
  readonly snapshot: string;
  readonly reason: string;
  /** What the disk had more free afterwards. */
  readonly freedBytes: number;
  /** What was free then. */
  readonly freeBytes: number;
}

/** The verdict on one snapshot, as it is told. */
export interface ToldDecision {
  readonly client: string;
  readonly snapshot: string;
  readonly verdict: Decision['verdict'];
  readonly because: Decision['because'];
  readonly reason: string;
  /** What its deletion is expected to free at its place in the order; 0 for those that stay. */
  readonly freesBytes: number;
}

/** How a prune ended. */
export interface PruneReport {
  readonly mode: PruneOptions['mode'];
  readonly order: PruneOrder;
  /**
   * `enough`: nothing had to go. `reached`: now there is enough. `short`: no more may go, `why` says it.
   * `refused`: nothing is pruned for now. `busy`: another prune is at work. `planned`: nothing was to be done.
   */
  readonly outcome: 'enough' | 'reached' | 'short' | 'refused' | 'busy' | 'planned';
  readonly why?: string;
  /** Who holds the space, in words, when there is too little. */
  readonly holders?: string;
  /** How far everything that may go would come, when that is not enough; bytes free. */
  readonly reachableBytes?: number;
  readonly totalBytes: number;
  readonly freeBytesBefore: number;
  readonly freeBytesAfter: number;
  /** The free space that was wanted. */
  readonly aimBytes?: number;
  /** The whole plan, for `list` and `dry-run`: first what goes, in order. */
  readonly decisions: readonly ToldDecision[];
  readonly deleted: readonly Deletion[];
}
