import type { ServerStatus } from '../fleet.ts';

/** Everything that the page shows: one look at the server. Texts need not be safe; rendering makes them so. */
export interface PageModel {
  /** The server's own name. */
  readonly host: string;
  readonly version: string;
  readonly status: ServerStatus;
  /** By name of the client, oldest first. */
  readonly snapshots: ReadonlyMap<string, readonly PageSnapshot[]>;
  /** Oldest first. */
  readonly space: readonly {
    readonly at: string;
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly historyBytes: number;
  }[];
  /** Newest first. */
  readonly events: readonly PageEvent[];
  /** The order in which snapshots would go, when room is needed. */
  readonly next: readonly PageDecision[];
  /** Why nothing may be pruned now. */
  readonly pruningRefused: string | null;
}

export interface PageSnapshot {
  readonly name: string;
  readonly at: string;
  readonly status: 'ok' | 'partial' | 'unknown';
  readonly held: boolean;
  /** What its run wrote; null when nothing is known. */
  readonly newBytes: number | null;
  /** Its place in the order in which snapshots would go; null when it may not go. */
  readonly place: number | null;
  readonly reason: string;
}

export interface PageEvent {
  readonly at: string;
  readonly kind: string;
  readonly client: string | null;
  readonly what: string;
  readonly why: string | null;
  readonly count: number;
}

export interface PageDecision {
  readonly client: string;
  readonly snapshot: string;
  readonly at: string;
  readonly freesBytes: number;
  readonly reason: string;
}
