import { expectedToFree, historyBytes, moveOn } from './history.ts';
import { byTime, orderOfClient, type Ranked } from './importance.ts';
import { protectedByKeep } from './keep.ts';
import { mostSafe, type Reading, readInWords, standingOf } from './reading.ts';
import type { Holding } from './shares.ts';
import type { Client, KeptBecause, PruneOrder, Snapshot } from './types.ts';

/** Why a snapshot may not go. */
export interface Protection {
  readonly because: KeptBecause;
  readonly reason: string;
}

/** A snapshot between its remaining neighbours, with the figures that its deletion hands on to the next one. */
interface Link {
  bornBytes: number;
  diedBytes: number;
  older: Link | undefined;
  newer: Link | undefined;
}

/**
 * One client while a plan is made. What costs time (links, protections, order) is worked out only when it is its turn
 * to pay: with many clients most never pay.
 */
export class Account implements Holding {
  readonly client: string;
  readonly weight: number;
  /** Oldest first. */
  readonly snapshots: readonly Snapshot[];
  historyBytes: number;
  readonly #about: Client;
  readonly #held: ReadonlyMap<string, string>;
  readonly #order: PruneOrder;
  readonly #now: number;
  readonly #gone = new Set<Snapshot>();
  #links: Map<Snapshot, Link> | undefined;
  #protections: Map<Snapshot, Protection> | undefined;
  #ordered: { free: Ranked[]; spared: Ranked[] } | undefined;
  #at = { free: 0, spared: 0 };

  /** @param held reasons of the holds of this client, by name of the snapshot. */
  constructor(about: Client, held: ReadonlyMap<string, string>, order: PruneOrder, now: number) {
    this.client = about.name;
    this.weight = about.policy.weight;
    this.snapshots = about.historyBytes === undefined ? sortedByTime(about.snapshots) : about.snapshots;
    this.historyBytes = about.historyBytes ?? historyBytes(this.snapshots);
    this.#about = about;
    this.#held = held;
    this.#order = order;
    this.#now = now;
  }

  get policy(): Client['policy'] {
    return this.#about.policy;
  }

  /** The snapshots that may not go, with the reason. */
  protections(): Map<Snapshot, Protection> {
    this.#protections ??= protectionsOf(this.#about, this.snapshots, this.#held, this.#now);
    return this.#protections;
  }

  /** The next one to go, or undefined when there is nothing left to give. */
  next(): Ranked | undefined {
    return this.#nextOf('free');
  }

  /** The next one to go of those that a pause spares: for when nobody has anything else to give. */
  nextSpared(): Ranked | undefined {
    return this.#nextOf('spared');
  }

  /** All that is left to give, the next to go first; without what a pause spares. */
  rest(): Ranked[] {
    return this.#queues().free.filter(({ snapshot }) => !this.#gone.has(snapshot));
  }

  isGone(snapshot: Snapshot): boolean {
    return this.#gone.has(snapshot);
  }

  /** Takes a snapshot out and returns what that is expected to free, in bytes. */
  remove(snapshot: Snapshot): number {
    this.#links ??= linked(this.snapshots);
    const link = this.#links.get(snapshot) as Link;
    const { older, newer } = link;
    const frees = expectedToFree(link, older, newer, this.#about.middleYield);
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) {
      newer.older = older;
      moveOn(link, older, newer, frees);
    }
    this.#gone.add(snapshot);
    this.historyBytes -= frees;
    return frees;
  }

  #nextOf(kind: 'free' | 'spared'): Ranked | undefined {
    const queue = this.#queues()[kind];
    while (this.#at[kind] < queue.length && this.#gone.has((queue[this.#at[kind]] as Ranked).snapshot)) {
      this.#at[kind] += 1;
    }
    return queue[this.#at[kind]];
  }

  #queues() {
    if (this.#ordered === undefined) {
      const protections = this.protections();
      const ordered = readLast(orderOfClient(this.snapshots, this.#order, this.#now), this.#about, this.#now);
      this.#ordered = {
        free: ordered.filter(({ snapshot }) => !protections.has(snapshot)),
        spared: ordered.filter(({ snapshot }) => protections.get(snapshot)?.because === 'paused'),
      };
    }
    return this.#ordered;
  }
}

function sortedByTime(snapshots: readonly Snapshot[]): readonly Snapshot[] {
  const sorted = snapshots.every((snapshot, at) => at === 0 || byTime(snapshots[at - 1] as Snapshot, snapshot) < 0);
  return sorted ? snapshots : [...snapshots].sort(byTime);
}

function linked(snapshots: readonly Snapshot[]): Map<Snapshot, Link> {
  const links = new Map<Snapshot, Link>();
  let older: Link | undefined;
  for (const snapshot of snapshots) {
    const { bornBytes, diedBytes } = snapshot;
    const link: Link = { bornBytes, diedBytes, older, newer: undefined };
    if (older !== undefined) older.newer = link;
    links.set(snapshot, link);
    older = link;
  }
  return links;
}

/** What is being read goes after all else of its client, never after what others have: nobody else pays for it. */
function readLast(ordered: readonly Ranked[], { readings = [] }: Client, now: number): readonly Ranked[] {
  const read = new Map(
    readings.filter((each) => standingOf(each, now) !== undefined).map((each) => [each.name, each] as const),
  );
  if (read.size === 0) return ordered;
  const isRead = ({ snapshot }: Ranked) => read.has(snapshot.name);
  return [
    ...ordered.filter((each) => !isRead(each)),
    ...ordered.filter(isRead).map((each) => ({ ...each, reading: read.get(each.snapshot.name) as Reading })),
  ];
}

function protectionsOf(
  { policy, readings = [], paused, pausedSince = Number.POSITIVE_INFINITY }: Client,
  snapshots: readonly Snapshot[],
  held: ReadonlyMap<string, string>,
  now: number,
): Map<Snapshot, Protection> {
  const protections = new Map<Snapshot, Protection>();
  const protect = (snapshot: Snapshot, because: KeptBecause, reason: string) => {
    if (!protections.has(snapshot)) protections.set(snapshot, { because, reason });
  };
  for (const snapshot of held.size > 0 ? snapshots : []) {
    const reason = held.get(snapshot.name);
    if (reason !== undefined) protect(snapshot, 'held', `held: ${reason}`);
  }
  const { keepLast, keep } = policy;
  for (const snapshot of keepLast > 0 ? snapshots.slice(-keepLast) : []) {
    protect(snapshot, 'newest', `one of the newest ${keepLast}`);
  }
  if (keep !== undefined) {
    for (const [snapshot, reason] of protectedByKeep(snapshots, keep)) protect(snapshot, 'keep-rule', reason);
  }
  let safe = 0;
  // The first that were begun: what is in the middle is finished before others begin.
  for (const reading of readings.toSorted((a, b) => a.since - b.since || (a.name < b.name ? -1 : 1))) {
    if (safe === mostSafe) break;
    const snapshot = standingOf(reading, now) === 'safe' ? byName(snapshots, reading.name) : undefined;
    if (snapshot === undefined || protections.has(snapshot)) continue;
    protect(snapshot, 'read', readInWords(reading));
    safe += 1;
  }
  if (paused !== undefined) {
    const spared = snapshots.filter(({ time }) => time <= pausedSince);
    for (const snapshot of spared) protect(snapshot, 'paused', `pruning is paused: ${paused}`);
  }
  return protections;
}

function byName(snapshots: readonly Snapshot[], name: string): Snapshot | undefined {
  return snapshots.find((snapshot) => snapshot.name === name);
}
