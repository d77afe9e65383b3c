import type { Reading } from './reading.ts';

/**
 * What pruning decides upon. Everything here is data: times are milliseconds since 1970, sizes are bytes, and nothing
 * in this directory reads a clock, a file or a program.
 */

/** One snapshot of a client as the planner sees it. */
export interface Snapshot {
  /** The name on disk: unique within its client. */
  readonly name: string;
  /** When it was taken, in milliseconds since 1970. */
  readonly time: number;
  /** `unknown` for snapshots of the original byteback, which kept no record. */
  readonly status: 'ok' | 'partial' | 'unknown';
  /**
   * Bytes first written by the runs after the previous remaining snapshot up to this one, as the ledger has them:
   * no more than this can be found in this snapshot and in none before it.
   */
  readonly bornBytes: number;
  /**
   * Bytes that the previous remaining snapshot still holds and that had left the client's tree when this one was taken.
   * The sum over all but the oldest snapshot of a client is what its history costs.
   */
  readonly diedBytes: number;
}

/** A snapshot that must stay until somebody releases it. */
export interface Hold {
  readonly client: string;
  readonly name: string;
  /** In the words of whoever held it: "before the upgrade". */
  readonly reason: string;
}

/** One part of a roll-off rule: "the newest snapshot of each of the last 4 weeks". */
export interface KeepPart {
  readonly count: number;
  readonly unit: KeepUnit;
}
export type KeepUnit = 'hour' | 'day' | 'week' | 'month' | 'quarter' | 'year';
export type KeepRule = readonly KeepPart[];

/** What the admin has said of one client. */
export interface ClientPolicy {
  /** Its part of the history in proportion to the weights of the others; above 0. */
  readonly weight: number;
  /** The newest so many snapshots are never pruned. */
  readonly keepLast: number;
  /** A protected minimum besides those. */
  readonly keep?: KeepRule;
  /** Snapshots older than this go even when there is room, unless protected. There is no such limit by default. */
  readonly maxAgeMs?: number;
}

/** One client as the planner sees it. */
export interface Client {
  readonly name: string;
  readonly policy: ClientPolicy;
  /** All its snapshots. In any order for a plan; oldest first where steps are taken. */
  readonly snapshots: readonly Snapshot[];
  /** What its history costs, where the caller knows: `snapshots` are then sorted, oldest first. Saves going through them. */
  readonly historyBytes?: number;
  /**
   * Learned: what deleting a snapshot between two others really frees, as a part (0 to 1) of the most that it can free.
   * Half when nothing is known yet.
   */
  readonly middleYield?: number;
  /** Why the history of this client is spared for now: set by the destruction guard, ended by `byteback release` or by habit. */
  readonly paused?: string;
  /** Those of its snapshots that were read lately: they go last, and not before a day has passed. */
  readonly readings?: readonly Reading[];
  /** When the pause began, in milliseconds since 1970: what was taken later is not spared. Without it everything is. */
  readonly pausedSince?: number;
}

/** In which order the snapshots of one client go. */
export type PruneOrder = 'importance' | 'age';

/** A run that is waiting for room: its client may pay for it with its own history, whatever its share. */
export interface Demand {
  readonly client: string;
  /** The free space that this run needs, reserve included. */
  readonly freeBytes: number;
}

/** The whole store at one moment. */
export interface StoreState {
  readonly now: number;
  readonly freeBytes: number;
  readonly clients: readonly Client[];
  readonly holds: readonly Hold[];
}

/** What a plan is to reach. */
export interface Aim {
  /** Free space to reach, in bytes; Infinity for the order in which everything would go. */
  readonly freeBytes: number;
  /** With less than `freeBytes` within reach, this much is worth a snapshot too; in bytes. Without it, nothing less is. */
  readonly leastBytes?: number;
  readonly order: PruneOrder;
  readonly demand?: Demand;
}

/** Why a snapshot stays. */
export type KeptBecause = 'held' | 'newest' | 'keep-rule' | 'read' | 'paused' | 'room' | 'within-share';
/** Why a snapshot goes. */
export type PrunedBecause = 'above-share' | 'own-demand' | 'too-old';

/** The verdict on one snapshot. */
export interface Decision {
  readonly client: string;
  readonly snapshot: Snapshot;
  readonly verdict: 'kept' | 'pruned';
  readonly because: KeptBecause | PrunedBecause;
  /** The reason for people, one line without a full stop. */
  readonly reason: string;
  /** What its deletion is expected to free at its place in the order; 0 for those that are kept. */
  readonly freesBytes: number;
  /** It goes although the pruning of its client is paused: nobody else had anything to give. */
  readonly spared?: true;
}

/** What a plan says: first the snapshots to delete, in order, then all that stay, the next ones to go first. */
export interface Plan {
  readonly decisions: readonly Decision[];
  /** Free space when all of it is done, as far as it can be foreseen. */
  readonly freeBytes: number;
  /** True when the aim is reached. */
  readonly reached: boolean;
  /** Why it is not reached. */
  readonly shortfall?: string;
  /** How far everything that may go would come, when that is not enough; bytes. */
  readonly reachableBytes?: number;
}
