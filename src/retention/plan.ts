import { Account } from './account.ts';
import { type Ranked, wantedInWords } from './importance.ts';
import { fairBytesPerWeight, type Holding, nextPayer, timesItsShare } from './shares.ts';
import type { Aim, Decision, Plan, PrunedBecause, Snapshot, StoreState } from './types.ts';

/** What is to be deleted, in order, and what that leads to. */
export interface Deletions {
  readonly pruned: readonly Decision[];
  /** Free space when all of it is done, as far as it can be foreseen. */
  readonly freeBytes: number;
  readonly reached: boolean;
  readonly shortfall?: string;
}

/**
 * Decides what goes and what stays. Pure: the same state and aim give the same plan, in whatever order the lists come.
 * Every snapshot has its decision and its reason. Nothing protected is ever among what goes.
 */
export function makePlan(state: StoreState, aim: Aim): Plan {
  const accounts = openAccounts(state, aim);
  const { pruned, ...outcome } = decide(accounts, state, aim);
  return { ...outcome, decisions: [...pruned, ...decideKept(accounts, outcome.freeBytes >= aim.freeBytes)] };
}

/**
 * The first part of a plan alone, what goes, and of that the first so many: much less work when there are many snapshots.
 */
export function planDeletions(state: StoreState, aim: Aim, atMost = Number.POSITIVE_INFINITY): Deletions {
  return decide(openAccounts(state, aim), state, aim, atMost);
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

function decide(
  accounts: readonly Account[],
  state: StoreState,
  aim: Aim,
  atMost = Number.POSITIVE_INFINITY,
): Deletions {
  const pruned: Decision[] = [];
  let freeBytes = state.freeBytes;
  const prune = (account: Account, snapshot: Snapshot, because: PrunedBecause, reason: string) => {
    const freesBytes = account.remove(snapshot);
    freeBytes += freesBytes;
    pruned.push({ client: account.client, snapshot, verdict: 'pruned', because, reason, freesBytes });
  };

  for (const account of accounts) {
    for (const { snapshot, maxAgeMs } of tooOld(account, state.now)) {
      const days = Math.round(maxAgeMs / 86_400_000);
      prune(account, snapshot, 'too-old', `older than the ${days} days that its policy allows`);
    }
  }
  const canGive = (holding: Holding) => (holding as Account).next() !== undefined;
  const { demand } = aim;
  const asking = accounts.find(({ client }) => client === demand?.client);
  while (pruned.length < atMost) {
    // Each deletion moves the fair share, so who pays is asked anew each time.
    const payer = freeBytes < aim.freeBytes ? (nextPayer(accounts, canGive) as Account | undefined) : undefined;
    const next = payer?.next();
    if (payer !== undefined && next !== undefined) {
      const times = timesItsShare(payer, fairBytesPerWeight(accounts));
      prune(payer, next.snapshot, 'above-share', `${whyThisOne(next, aim)}; ${payer.client} ${shareText(times)}`);
      continue;
    }
    const own = demand !== undefined && freeBytes < demand.freeBytes ? asking?.next() : undefined;
    if (asking === undefined || own === undefined) break;
    const reason = `${whyThisOne(own, aim)}; makes room for ${asking.client}'s own next backup`;
    prune(asking, own.snapshot, 'own-demand', reason);
  }

  const reached = freeBytes >= (demand?.freeBytes ?? aim.freeBytes);
  return { pruned, freeBytes, reached, ...(reached ? {} : { shortfall: whyShort(accounts, canGive) }) };
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
function decideKept(accounts: readonly Account[], enough: boolean): Decision[] {
  const free: Decision[] = [];
  const safe: Decision[] = [];
  for (const account of accounts) {
    const { client } = account;
    for (const { snapshot, nearest } of account.rest()) {
      const near = nearest === undefined ? '' : `; near ${wantedInWords(nearest)}`;
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
      if (protection !== undefined) safe.push({ client, snapshot, verdict: 'kept', ...protection, freesBytes: 0 });
    }
  }
  return [...free, ...safe];
}

function whyThisOne({ nearest }: Ranked, { order }: Aim): string {
  if (order === 'age') return 'the oldest';
  return nearest === undefined
    ? 'near no wanted time'
    : `near ${wantedInWords(nearest)}; the least wanted of those left`;
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
