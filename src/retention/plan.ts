import { expectedToFree, moveOn } from './history.ts';
import { byTime, orderOfClient, type Ranked } from './importance.ts';
import { protectedByKeep } from './keep.ts';
import { fairBytesPerWeight, type Holding, nextPayer, timesItsShare } from './shares.ts';
import type { Aim, Client, Decision, KeptBecause, Plan, PrunedBecause, Snapshot, StoreState } from './types.ts';

/** A protected snapshot's reason. */
interface Protection {
  readonly because: KeptBecause;
  readonly reason: string;
}

/** A snapshot between its remaining neighbours, with the figures that its deletion moves on to the next one. */
interface Link {
  readonly snapshot: Snapshot;
  bornBytes: number;
  diedBytes: number;
  older: Link | undefined;
  newer: Link | undefined;
}

/** One client while a plan is made. Its order is worked out only when it is its turn to pay. */
class Account implements Holding {
  readonly client: string;
  readonly weight: number;
  historyBytes = 0;
  readonly snapshots: Snapshot[] = [];
  readonly links = new Map<Snapshot, Link>();
  readonly policy: Client;
  #queue: Ranked[] | undefined;
  #protections: Map<Snapshot, Protection> | undefined;
  #at = 0;

  constructor(policy: Client) {
    this.policy = policy;
    this.client = policy.name;
    this.weight = policy.policy.weight;
  }

  /** Call once, when all snapshots are in. */
  link(): void {
    this.snapshots.sort(byTime);
    let older: Link | undefined;
    for (const snapshot of this.snapshots) {
      const link: Link = {
        snapshot,
        bornBytes: snapshot.bornBytes,
        diedBytes: snapshot.diedBytes,
        older,
        newer: undefined,
      };
      if (older !== undefined) {
        older.newer = link;
        this.historyBytes += snapshot.diedBytes;
      }
      this.links.set(snapshot, link);
      older = link;
    }
  }

  protections(holds: ReadonlyMap<string, string>): Map<Snapshot, Protection> {
    this.#protections ??= protectionsOf(this.policy, this.snapshots, holds);
    return this.#protections;
  }

  queue(state: StoreState, aim: Aim, holds: ReadonlyMap<string, string>): Ranked[] {
    if (this.#queue === undefined) {
      const protections = this.protections(holds);
      this.#queue = orderOfClient(this.snapshots, aim.order, state.now).filter(
        ({ snapshot }) => !protections.has(snapshot),
      );
    }
    return this.#queue;
  }

  /** The next one to go, or undefined when there is nothing left to give. */
  peek(state: StoreState, aim: Aim, holds: ReadonlyMap<string, string>): Ranked | undefined {
    const queue = this.queue(state, aim, holds);
    while (this.#at < queue.length && !this.links.has((queue[this.#at] as Ranked).snapshot)) this.#at += 1;
    return queue[this.#at];
  }

  /** Takes a snapshot out and returns what that is expected to free. */
  remove(snapshot: Snapshot): number {
    const link = this.links.get(snapshot) as Link;
    const { older, newer } = link;
    const frees = expectedToFree(link, older, newer, this.policy.middleYield);
    this.links.delete(snapshot);
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) {
      newer.older = older;
      moveOn(link, older, newer, frees);
    }
    this.historyBytes -= frees;
    return frees;
  }
}

function protectionsOf(
  client: Client,
  snapshots: readonly Snapshot[],
  holds: ReadonlyMap<string, string>,
): Map<Snapshot, Protection> {
  const { keepLast, keep } = client.policy;
  const protections = new Map<Snapshot, Protection>();
  for (const snapshot of snapshots) {
    const held = holds.get(holdKey(snapshot));
    if (held !== undefined) protections.set(snapshot, { because: 'held', reason: `held: ${held}` });
  }
  for (const snapshot of keepLast > 0 ? snapshots.slice(-keepLast) : []) {
    if (!protections.has(snapshot))
      protections.set(snapshot, { because: 'newest', reason: `one of the newest ${keepLast}` });
  }
  if (keep !== undefined) {
    for (const [snapshot, reason] of protectedByKeep(snapshots, keep)) {
      if (!protections.has(snapshot)) protections.set(snapshot, { because: 'keep-rule', reason });
    }
  }
  if (client.paused !== undefined) {
    for (const snapshot of snapshots) {
      if (!protections.has(snapshot))
        protections.set(snapshot, { because: 'paused', reason: `pruning is paused: ${client.paused}` });
    }
  }
  return protections;
}

function holdKey({ client, name }: { client: string; name: string }): string {
  return `${client}/${name}`;
}

function whyThisOne({ nearest }: Ranked, order: Aim['order']): string {
  if (order === 'age') return 'the oldest';
  return nearest === undefined ? 'near no wanted time' : `the least wanted of those left, ${nearest.label}`;
}

/**
 * Decides what goes and what stays. Pure: the same state and aim give the same plan, in whatever order the lists come.
 * Every snapshot has its decision and its reason. Nothing protected is ever in the first part.
 */
export function makePlan(state: StoreState, aim: Aim): Plan {
  const accounts = openAccounts(state);
  const holdings = [...accounts.values()];
  const holds = new Map(state.holds.map((hold) => [holdKey(hold), hold.reason]));
  const pruned: Decision[] = [];
  let freeBytes = state.freeBytes;

  const prune = (account: Account, snapshot: Snapshot, because: PrunedBecause, reason: string) => {
    const frees = account.remove(snapshot);
    freeBytes += frees;
    pruned.push({ snapshot, verdict: 'pruned', because, reason, freesBytes: frees });
  };

  for (const account of holdings) {
    const { maxAgeMs } = account.policy.policy;
    if (maxAgeMs === undefined) continue;
    const protections = account.protections(holds);
    for (const snapshot of account.snapshots) {
      if (snapshot.time >= state.now - maxAgeMs || protections.has(snapshot)) continue;
      prune(
        account,
        snapshot,
        'too-old',
        `older than the ${Math.round(maxAgeMs / 86_400_000)} days that its policy allows`,
      );
    }
  }

  // The order of a client is worked out only when somebody asks what it can give: most are never asked.
  const canGive = (holding: Holding) => (holding as Account).peek(state, aim, holds) !== undefined;
  const { demand } = aim;
  const asking = demand === undefined ? undefined : accounts.get(demand.client);
  for (;;) {
    // Each deletion moves the fair share, so who pays is asked anew each time.
    const payer = freeBytes < aim.freeBytes ? (nextPayer(holdings, canGive) as Account | undefined) : undefined;
    const next = payer?.peek(state, aim, holds);
    if (payer !== undefined && next !== undefined) {
      const times = timesItsShare(payer, fairBytesPerWeight(holdings));
      prune(payer, next.snapshot, 'above-share', `${whyThisOne(next, aim.order)}; ${payer.client} ${shareText(times)}`);
      continue;
    }
    const own = demand !== undefined && freeBytes < demand.freeBytes ? asking?.peek(state, aim, holds) : undefined;
    if (asking === undefined || own === undefined) break;
    prune(
      asking,
      own.snapshot,
      'own-demand',
      `${whyThisOne(own, aim.order)}; makes room for ${asking.client}'s own next backup`,
    );
  }

  const reached = freeBytes >= (demand?.freeBytes ?? aim.freeBytes);
  return {
    decisions: [...pruned, ...keptDecisions(holdings, state, aim, holds, freeBytes >= aim.freeBytes)],
    freeBytes,
    reached,
    ...(reached ? {} : { shortfall: whyShort(holdings, canGive) }),
  };
}

function openAccounts(state: StoreState): Map<string, Account> {
  const clients = new Map(state.clients.map((client) => [client.name, client]));
  const accounts = new Map<string, Account>();
  for (const snapshot of state.snapshots) {
    let account = accounts.get(snapshot.client);
    if (account === undefined) {
      const client = clients.get(snapshot.client);
      if (client === undefined) throw new RangeError(`no client ${snapshot.client} in the store's state`);
      account = new Account(client);
      accounts.set(snapshot.client, account);
    }
    account.snapshots.push(snapshot);
  }
  const sorted = [...accounts].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, account] of sorted) account.link();
  return new Map(sorted);
}

/** All that stays, the next ones to go first, the protected ones last. */
function keptDecisions(
  accounts: readonly Account[],
  state: StoreState,
  aim: Aim,
  holds: ReadonlyMap<string, string>,
  enough: boolean,
): Decision[] {
  const free: Decision[] = [];
  const safe: Decision[] = [];
  for (const account of accounts) {
    for (const { snapshot, ...ranked } of account.queue(state, aim, holds)) {
      if (!account.links.has(snapshot)) continue;
      const near = ranked.nearest === undefined ? '' : `, nearest to ${ranked.nearest.label}`;
      free.push({
        snapshot,
        verdict: 'kept',
        because: enough ? 'room' : 'within-share',
        reason: enough ? `there is room for it${near}` : `${account.client} is within its share${near}`,
        freesBytes: 0,
      });
    }
    for (const [snapshot, { because, reason }] of account.protections(holds)) {
      safe.push({ snapshot, verdict: 'kept', because, reason, freesBytes: 0 });
    }
  }
  safe.sort((a, b) =>
    a.snapshot.client < b.snapshot.client
      ? -1
      : a.snapshot.client > b.snapshot.client
        ? 1
        : byTime(a.snapshot, b.snapshot),
  );
  return [...free, ...safe];
}

function shareText(times: number): string {
  return times >= 1.05
    ? `has ${times >= 9.95 ? Math.round(times) : times.toFixed(1)} times its share`
    : 'is at its share, as all others';
}

function whyShort(holdings: readonly Holding[], canGive: (holding: Holding) => boolean): string {
  const fair = fairBytesPerWeight(holdings);
  const above = holdings.filter((holding) => timesItsShare(holding, fair) > 1).map((holding) => holding.client);
  if (!holdings.some(canGive)) return 'everything that is left is protected';
  return `${above.join(', ')} ${above.length === 1 ? 'is' : 'are'} above the fair share and ${above.length === 1 ? 'has' : 'have'} nothing left to give; the others are within theirs`;
}
