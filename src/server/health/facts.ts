import type { ClientStatus, StoreStatus } from '../../report/fleet.ts';
import type { ServerEvent } from '../events.ts';

/**
 * What the health of a server is judged by. Each fact is looked up in one place, `collect.ts`. A fact that cannot be read is a
 * finding of its own, so that no check takes silence for health.
 */
export interface FactValues {
  /** server.toml: `problem` is what is wrong with it, while the last good settings hold. */
  readonly config: { readonly problem: string | null; readonly strangers: readonly string[] };
  /** The store's file system; `away` says why there is no store there. */
  readonly store: { readonly away: string | null };
  /** Whether anything can be written there. */
  readonly mount: { readonly readOnly: boolean; readonly why?: string };
  /** The disks that the store lies on, as the kernel counts their errors. */
  readonly disks: readonly DiskFact[];
  readonly quota: { readonly inconsistent: boolean };
  readonly scrub: {
    /** The end of the last scrub; null before the first. */
    readonly at: string | null;
    readonly storeMadeAt: string | null;
    readonly damagedFiles: number;
    readonly unplaced: number;
  };
  readonly space: StoreStatus;
  readonly clients: readonly ClientStatus[];
  /** Registered clients without a place in the store, of so many registered. */
  readonly places: { readonly missing: readonly string[]; readonly registered: number };
  readonly clock: {
    /** Why pruning refuses to go by the clock; null when it does not. */
    readonly refusal: string | null;
    /** Snapshots whose names are of a time to come. */
    readonly future: readonly { readonly client: string; readonly snapshots: readonly string[] }[];
  };
  /** When a prune last wrote down what it saw; null before the first. */
  readonly pruning: { readonly lastAt: string | null };
  readonly events: readonly Pick<ServerEvent, 'at' | 'happenedAt' | 'kind' | 'client' | 'what'>[];
  readonly post: { readonly waiting: number; readonly oldestAt: string | null; readonly lastError?: string };
  /** Files of byteback's own state that are gone or were put aside as damaged. */
  readonly state: { readonly missing: readonly string[]; readonly putAside: readonly string[] };
}

export interface DiskFact {
  readonly id: string;
  readonly missing: boolean;
  /** By what could not be done, such as `read_errs`. Only those that are not zero. */
  readonly errors: Readonly<Record<string, number>>;
}

export type FactName = keyof FactValues;

/** A value, or why there is none; `skipped` when another fact says why already. */
export type Fact<T> = { readonly value: T } | { readonly unreadable: string } | { readonly skipped: true };

export type HealthFacts = { readonly [Name in FactName]: Fact<FactValues[Name]> };

/** What each fact is for a person: "cannot tell WORDS". */
export const factWords: Readonly<Record<FactName, string>> = {
  config: 'what server.toml says',
  store: 'whether the store is there',
  mount: 'whether the store can be written',
  disks: 'how the disks of the store are',
  quota: 'whether the quotas of the store are right',
  scrub: 'what the last scrub found',
  space: 'how much room the store has',
  clients: 'how the clients are',
  places: 'whether each client has its place in the store',
  clock: 'whether the clock can be believed',
  pruning: 'when the store was last pruned',
  events: 'what happened',
  post: 'whether mails go out',
  state: 'whether the files of the state are whole',
};
