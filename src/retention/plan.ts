import { Account } from './account.ts';
import { type Ranked, wantedInWords } from './importance.ts';
import { readInWords } from './reading.ts';
import { fairBytesPerWeight, type Holding, nextPayer, timesItsShare } from './shares.ts';
import type { Aim, Decision, Plan, PrunedBecause, Snapshot, StoreState } from './types.ts';

/** What is to be deleted, in order, and what that leads to. */
export interface Deletions {
  readonly pruned: readonly Decision[];
  /** Free space when all of it is done, as far as it can be foreseen. */
  readonly freeBytes: number;
  readonly reached: boolean;
  readonly shortfall?: string;
  /** How far everything that may go would come, when that is not enough; bytes. */
  readonly reachableBytes?: number;
  /** What may go and frees nothing: it stays. */
  readonly passedOver: ReadonlySet<Snapshot>;
  /** The free space at which no more has to go, in bytes: the aim, or the least that helps. */
  readonly enoughBytes: number;
}

const nobodyElse = 'its pruning is paused, but nobody else has anything left to give';

/**
 * Decides what goes and what stays. Pure: the same state and aim give the same plan, in whatever order the lists come.
 * Every snapshot has its decision and its reason. Nothing protected is ever among what goes.
 */
export function makePlan(state: StoreState, aim: Aim): Plan {
  const {
    pruned,
    accounts,
    passedOver,
    enoughBytes: _,
    ...outcome
  } = decide(() => openAccounts(state, aim), state, aim);
  return {
    ...outcome,
    decisions: [...pruned, ...decideKept(accounts, passedOver, outcome.freeBytes >= aim.freeBytes)],
  };
}

/**
 * The first part of a plan alone, what goes, and of that the first so many: much less work when there are many snapshots.
 */
export function planDeletions(state: StoreState, aim: Aim, atMost = Number.POSITIVE_INFINITY): Deletions {
  return decide(() => openAccounts(state, aim), state, aim, atMost);
}

/** The accounts of all clients that have snapshots, sorted by name. */
function openAccounts(state: StoreState, aim: Aim): Account[] {
  const holds = new Map<string, Map<string, string>>();
  for (const { client, name, reason } of state.holds) {
    const held = holds.get(client) ?? new Map<string, string>();
    holds.set(client, held.set(name, reason));
  }
  const none = new Map<string, string>();
  return state.clients
    .filter(({ snapshots }) => snapshots.length > 0)
    .map((client) => new Account(client, holds.get(client.name) ?? none, aim.order, state.now))
    .sort((a, b) => (a.client < b.client ? -1 : 1));
}

/**
 * What goes. A snapshot is only worth what it helps to reach: when the aim is out of reach, the least that would help is
 * tried; when that is, too, nothing goes but what is too old.
 */
function decide(accountsOf: () => Account[], state: StoreState, aim: Aim, atMost = Number.POSITIVE_INFINITY): Decided {
  const all = decideFor(accountsOf(), state, aim);
  // Without an end the order is asked for in which everything would go.
  const wantedBytes = Math.max(aim.freeBytes, aim.demand?.freeBytes ?? 0);
  if (all.freeBytes >= wantedBytes || aim.freeBytes === Number.POSITIVE_INFINITY) return cut(all, atMost);
  const leastBytes = aim.leastBytes ?? aim.demand?.freeBytes;
  if (leastBytes !== undefined && leastBytes < aim.freeBytes && all.freeBytes >= leastBytes) {
    const least = decideFor(accountsOf(), state, { ...aim, freeBytes: leastBytes });
    return cut({ ...least, reached: aim.demand !== undefined, ...(aim.demand ? {} : shortOf(all)) }, atMost);
  }
  const none = decideFor(accountsOf(), state, { freeBytes: 0, order: aim.order });
  return cut({ ...none, reached: false, ...shortOf(all) }, atMost);
}

/** Why everything that may go is not enough, and how far it would come. */
function shortOf({ freeBytes, shortfall }: Decided) {
  return { reachableBytes: freeBytes, ...(shortfall === undefined ? {} : { shortfall }) };
}

interface Decided extends Deletions {
  readonly accounts: readonly Account[];
}

function cut(decided: Decided, atMost: number): Decided {
  return { ...decided, pruned: decided.pruned.slice(0, atMost) };
}

function decideFor(accounts: readonly Account[], state: StoreState, aim: Aim): Decided {
  const pruned: Decision[] = [];
  let freeBytes = state.freeBytes;
  const prune = (account: Account, snapshot: Snapshot, because: PrunedBecause, reason: string, spared = false) => {
    const freesBytes = account.remove(snapshot);
    freeBytes += freesBytes;
    const client = account.client;
    pruned.push({
      client,
      snapshot,
      verdict: 'pruned',
      because,
      reason,
      freesBytes,
      ...(spared ? { spared: true as const } : {}),
    });
  };

  for (const account of accounts) {
    for (const { snapshot, maxAgeMs } of tooOld(account, state.now)) {
      const days = Math.round(maxAgeMs / 86_400_000);
      prune(account, snapshot, 'too-old', `older than the ${days} days that its policy allows`);
    }
  }
  const canGive = (holding: Holding) => (holding as Account).next() !== undefined;
  // A pause must not become the others' refusal. In the order of everything it holds.
  const hasEnd = aim.freeBytes !== Number.POSITIVE_INFINITY;
  const canGiveSpared = (holding: Holding) => hasEnd && (holding as Account).nextSpared() !== undefined;
  const { demand } = aim;
  const asking = accounts.find(({ client }) => client === demand?.client);
  for (;;) {
    // Each deletion moves the fair share, so who pays is asked anew each time.
    const wanted = freeBytes < aim.freeBytes;
    const payer = wanted ? (nextPayer(accounts, canGive) as Account | undefined) : undefined;
    const next = payer?.next();
    if (payer !== undefined && next !== undefined) {
      const times = timesItsShare(payer, fairBytesPerWeight(accounts));
      prune(payer, next.snapshot, 'above-share', `${whyThisOne(next, aim)}; ${payer.client} ${shareText(times)}`);
      continue;
    }
    const paused = wanted ? (nextPayer(accounts, canGiveSpared) as Account | undefined) : undefined;
    const spared = paused?.nextSpared();
    if (paused !== undefined && spared !== undefined) {
      const share = `${paused.client} ${shareText(timesItsShare(paused, fairBytesPerWeight(accounts)))}`;
      prune(paused, spared.snapshot, 'above-share', `${whyThisOne(spared, aim)}; ${share}; ${nobodyElse}`, true);
      continue;
    }
    if (asking === undefined || demand === undefined || freeBytes >= demand.freeBytes) break;
    const free = asking.next();
    const own = free ?? (hasEnd ? asking.nextSpared() : undefined);
    if (own === undefined) break;
    const reason = `${whyThisOne(own, aim)}; makes room for ${asking.client}'s own next backup`;
    prune(asking, own.snapshot, 'own-demand', reason, free === undefined);
  }

  const reached = freeBytes >= (demand?.freeBytes ?? aim.freeBytes);
  const helping = hasEnd ? helpingOnes(pruned) : pruned;
  const kept = new Set(pruned.filter((decision) => !helping.includes(decision)).map(({ snapshot }) => snapshot));
  const shortfall = reached ? {} : { shortfall: whyShort(accounts, canGive) };
  return { pruned: helping, passedOver: kept, enoughBytes: aim.freeBytes, freeBytes, reached, accounts, ...shortfall };
}

/** A deletion that frees nothing helps only when a later one of the same client frees what both held. */
function helpingOnes(pruned: readonly Decision[]): Decision[] {
  const lastHelp = new Map<string, number>();
  for (const [at, { client, freesBytes }] of pruned.entries()) if (freesBytes > 0) lastHelp.set(client, at);
  return pruned.filter(({ client, because }, at) => because === 'too-old' || at <= (lastHelp.get(client) ?? -1));
}

function tooOld(account: Account, now: number): { snapshot: Snapshot; maxAgeMs: number }[] {
  const { maxAgeMs } = account.policy;
  if (maxAgeMs === undefined) return [];
  const protections = account.protections();
  return account.snapshots
    .filter((snapshot) => snapshot.time < now - maxAgeMs && !protections.has(snapshot))
    .map((snapshot) => ({ snapshot, maxAgeMs }));
}

/** All that stays: first what may go one day, the next to go first; then what is protected. */
function decideKept(accounts: readonly Account[], passedOver: ReadonlySet<Snapshot>, enough: boolean): Decision[] {
  const free: Decision[] = [];
  const safe: Decision[] = [];
  for (const account of accounts) {
    const { client } = account;
    for (const snapshot of account.snapshots) {
      if (!passedOver.has(snapshot)) continue;
      const reason = 'deleting it would free nothing';
      free.push({ client, snapshot, verdict: 'kept', because: 'room', reason, freesBytes: 0 });
    }
    for (const { snapshot, nearest, reading } of account.rest()) {
      const near = `${nearest === undefined ? '' : `; near ${wantedInWords(nearest)}`}${readText(reading)}`;
      free.push({
        client,
        snapshot,
        verdict: 'kept',
        because: enough ? 'room' : 'within-share',
        reason: `${enough ? 'there is room for it' : `${client} is within its share`}${near}`,
        freesBytes: 0,
      });
    }
    const protections = account.protections();
    for (const snapshot of account.snapshots) {
      const protection = protections.get(snapshot);
      if (account.isGone(snapshot)) continue;
      if (protection !== undefined) safe.push({ client, snapshot, verdict: 'kept', ...protection, freesBytes: 0 });
    }
  }
  return [...free, ...safe];
}

function whyThisOne({ nearest, reading }: Ranked, { order }: Aim): string {
  if (reading !== undefined) return `the last that may go of its client${readText(reading)}`;
  if (order === 'age') return 'the oldest';
  return nearest === undefined
    ? 'near no wanted time'
    : `near ${wantedInWords(nearest)}; the least wanted of those left`;
}

function readText(reading: Ranked['reading']): string {
  return reading === undefined ? '' : `; ${readInWords(reading)}`;
}

function shareText(times: number): string {
  if (times < 1.05) return 'is at its share, as all others';
  return `has ${times >= 9.95 ? Math.round(times) : times.toFixed(1)} times its share`;
}

function whyShort(accounts: readonly Account[], canGive: (holding: Holding) => boolean): string {
  if (!accounts.some(canGive)) return 'everything that is left is protected';
  const fair = fairBytesPerWeight(accounts);
  const above = accounts.filter((account) => timesItsShare(account, fair) > 1).map(({ client }) => client);
  const [are, have] = above.length === 1 ? ['is', 'has'] : ['are', 'have'];
  return `${above.join(', ')} ${are} above the fair share and ${have} nothing left to give; the others are within theirs`;
}
