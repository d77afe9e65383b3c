import { join } from 'node:path';
import { wasInVain, type Yield } from '../../retention/helped.ts';
import { exclusiveBytes } from '../../system/btrfs/tree-size.ts';
import type { Log } from '../../system/log.ts';
import type { Ledger, Standstill } from '../ledger.ts';
import type { Store } from '../store.ts';
import type { StoredSnapshot } from './contents.ts';
import { foreignSubvolumes } from './holders.ts';
import { inBytes } from './words.ts';

/** One snapshot is asked what it alone holds for this long at most. */
const probeMs = 5 * 60_000;
/** While pruning stands still, a snapshot is asked no more often than this. */
const probeEveryMs = 3_600_000;
/** Where nobody can tell why deletions do not help, so many are tried. */
const mostInVain = 4;

interface Around {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly contents: ReadonlyMap<string, readonly StoredSnapshot[]>;
  readonly freeBytes: number;
  readonly now: Date;
  readonly log: Log;
}

/**
 * Asked after deletions that gave next to nothing: whether pruning must stop. What the deletion of a snapshot between two others
 * gives is an estimate, which may be wrong; what the oldest alone holds is known and can be measured without deleting it.
 */
export async function findStandstill(
  client: string,
  yields: readonly Yield[],
  around: Around,
): Promise<Standstill | undefined> {
  const { store, now, freeBytes, log } = around;
  const [foreign, probed] = [await foreignSubvolumes(store), await probeOldest(client, around)];
  const its = around.ledger.clients[client];
  if (probed !== undefined && !wasInVain(probed)) {
    log.info(`${client}: its snapshots between others free less than was expected; its oldest holds what it should`);
    if (its !== undefined) its.history.middleYield = Math.min(its.history.middleYield, 0.02);
    return undefined;
  }
  if (probed === undefined && foreign.length === 0 && yields.length < mostInVain) return undefined;
  const last = yields.slice(-2);
  const sum = (figure: (one: Yield) => number) => inBytes(last.reduce((all, one) => all + figure(one), 0));
  const gave = `the last ${last.length} snapshots that were deleted, of ${client}, freed ${sum((one) => one.freedBytes)} of ${sum((one) => one.expectedBytes)} expected`;
  return {
    since: now.toISOString(),
    why: `deleting does not help: ${gave}; something else holds what they held`,
    client,
    foreign,
    freeBytes,
    lookedAt: now.getTime(),
  };
}

/** Whether pruning that stood still still does: undefined when it may go on. Deletes nothing to find out. */
export async function stillStands(standstill: Standstill, around: Around): Promise<Standstill | undefined> {
  const { store, now, log } = around;
  const foreign = await foreignSubvolumes(store);
  const gone = standstill.foreign.filter((path) => !foreign.includes(path));
  const isDue = Math.abs(now.getTime() - standstill.lookedAt) >= probeEveryMs;
  if (gone.length === 0 && !isDue) return standstill;
  const probed = await probeOldest(standstill.client, around);
  const helps = probed === undefined ? gone.length > 0 : !wasInVain(probed);
  if (!helps) return { ...standstill, foreign, lookedAt: now.getTime() };
  log.info(`pruning goes on: the oldest snapshot of ${standstill.client} holds what it should`);
  return undefined;
}

/** What the deletion of a client's oldest snapshot should free, and what it would; undefined where nobody can tell. */
async function probeOldest(client: string, { ledger, contents }: Around): Promise<Yield | undefined> {
  const history = ledger.clients[client]?.history;
  const [oldest, next] = history?.entries ?? [];
  const stored = contents.get(client)?.find(({ name }) => name === oldest?.name);
  if (history === undefined || next === undefined || stored === undefined) return undefined;
  const bytes = await exclusiveBytes(join(stored.directory, stored.name), probeMs);
  if (bytes === undefined) return undefined;
  const probe = { expectedBytes: next.diedBytes, freedBytes: bytes * history.diskRatio };
  // So little expected tells nothing of what holds the space.
  return wasInVain({ ...probe, freedBytes: 0 }) ? probe : undefined;
}
