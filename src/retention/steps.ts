import { historyBytes } from './history.ts';
import { planDeletions } from './plan.ts';
import { standingOf } from './reading.ts';
import { fairBytesPerWeight, isWithinShare } from './shares.ts';
import type { Aim, Decision, StoreState } from './types.ts';

/** After so many deletions at most the rest is planned anew, with what the disk says by then. */
const plannedAtOnce = 8;

/** Why an aim is not reached. */
export interface Short {
  readonly shortfall: string;
  /** How far everything that may go would come, in bytes. */
  readonly reachableBytes?: number;
}

/**
 * Yields one deletion after the other until the aim is reached or nothing more may go. The caller deletes the snapshot,
 * waits for its space, and records what the disk says before it asks for the next: `look` must then give the new state.
 * What a deletion frees is only known afterwards, so few are planned at once, and each is judged again when it is due.
 * @returns why the aim is not reached, or undefined when it is.
 */
export function* pruneStepByStep(look: () => StoreState, aim: Aim): Generator<Decision, Short | undefined, void> {
  for (;;) {
    const { pruned, shortfall, reachableBytes, enoughBytes } = planDeletions(look(), aim, plannedAtOnce);
    if (pruned.length === 0) {
      return shortfall === undefined
        ? undefined
        : { shortfall, ...(reachableBytes === undefined ? {} : { reachableBytes }) };
    }
    for (const [index, decision] of pruned.entries()) {
      if (index > 0 && !isStillDue(decision, look(), aim, enoughBytes)) break;
      yield decision;
    }
  }
}

function isStillDue(decision: Decision, state: StoreState, aim: Aim, enoughBytes: number): boolean {
  const { because, client } = decision;
  // Somebody may have begun to read it since: then all is planned anew.
  if (isSafe(decision, state)) return false;
  if (because === 'too-old') return true;
  if (because === 'own-demand') return state.freeBytes < (aim.demand?.freeBytes ?? 0);
  if (state.freeBytes >= enoughBytes) return false;
  const holdings = state.clients
    .filter(({ snapshots }) => snapshots.length > 0)
    .map(({ name, policy, snapshots, ...known }) => ({
      client: name,
      weight: policy.weight,
      historyBytes: known.historyBytes ?? historyBytes(snapshots),
    }));
  const payer = holdings.find((holding) => holding.client === client);
  return payer !== undefined && !isWithinShare(payer, fairBytesPerWeight(holdings));
}

function isSafe({ client, snapshot }: Decision, { clients, now }: StoreState): boolean {
  const readings = clients.find(({ name }) => name === client)?.readings ?? [];
  return readings.some((reading) => reading.name === snapshot.name && standingOf(reading, now) === 'safe');
}
