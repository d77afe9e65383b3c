import { join } from 'node:path';
import { leastTellingBytes, wasInVain, type Yield } from '../../retention/helped.ts';
import { diskUse } from '../../system/btrfs/tree-size.ts';
import type { Log } from '../../system/log.ts';
import type { Ledger, Standstill } from '../ledger.ts';
import type { Store } from '../store.ts';
import type { StoredSnapshot } from './contents.ts';
import { foreignEntries, foreignSubvolumes } from './holders.ts';
import { inBytes } from './words.ts';

/** The file system is asked who holds the space of one thing for this long at most. */
const probeMs = 5 * 60_000;
/** While pruning stands still, the file system is asked no more often than this. */
const probeEveryMs = 3_600_000;
/** Where the oldest snapshot tells nothing, so many are tried. */
const mostInVain = 4;
/** So many things that are not byteback's are looked at; more count as one that cannot be looked at. */
const mostLookedAt = 20;

interface Around {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly contents: ReadonlyMap<string, readonly StoredSnapshot[]>;
  readonly freeBytes: number;
  readonly now: Date;
  readonly log: Log;
}

/** What was asked during one prune, by snapshot: large ones take minutes. */
export type Probes = Map<string, Yield | undefined>;

/**
 * Asked after deletions that gave next to nothing: whether pruning must stop. What the deletion of a snapshot between two others
 * gives is an estimate, and files that many snapshots share give nothing until the last of these goes. So what is certain is
 * measured, and nothing deleted for it: what the oldest snapshot alone holds. Where that tells nothing, because next to nothing
 * changed after it, pruning stops only when there is something else that could hold the space.
 */
export async function findStandstill(
  client: string,
  yields: readonly Yield[],
  around: Around,
  probes: Probes,
): Promise<Standstill | undefined> {
  const { store, now, freeBytes, log } = around;
  const probed = await probeOldest(client, around, probes);
  if (probed !== undefined && !wasInVain(probed)) {
    log.info(`${client}: its snapshots between others free less than was expected; its oldest holds what it should`);
    return undefined;
  }
  if (probed === undefined && yields.length < mostInVain) return undefined;
  const foreign = await findForeign(around);
  if (probed === undefined && !(await mayHold(foreign, store))) return undefined;
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
  const foreign = await findForeign(around);
  const gone = standstill.foreign.filter((path) => !foreign.includes(path));
  const isDue = Math.abs(now.getTime() - standstill.lookedAt) >= probeEveryMs;
  if (gone.length === 0 && !isDue) return standstill;
  const probed = await probeOldest(standstill.client, around, new Map());
  if (probed === undefined ? await mayHold(foreign, store) : wasInVain(probed))
    return { ...standstill, foreign, lookedAt: now.getTime() };
  log.info(
    probed === undefined
      ? 'pruning goes on: what could have held the space is gone, or shares nothing'
      : `pruning goes on: the oldest snapshot of ${standstill.client} holds what it should`,
  );
  return undefined;
}

/** What the deletion of a client's oldest snapshot should free, and what it would; undefined where nobody can tell. */
async function probeOldest(client: string, { ledger, contents }: Around, probes: Probes): Promise<Yield | undefined> {
  const history = ledger.clients[client]?.history;
  const [oldest, next] = history?.entries ?? [];
  const stored = contents.get(client)?.find(({ name }) => name === oldest?.name);
  if (history === undefined || next === undefined || stored === undefined) return undefined;
  // So little expected tells nothing of what holds the space.
  if (next.diedBytes < leastTellingBytes) return undefined;
  const path = join(stored.directory, stored.name);
  if (!probes.has(path)) {
    const use = await diskUse(path, probeMs);
    const freedBytes = use && use.exclusiveBytes * history.diskRatio;
    probes.set(path, freedBytes === undefined ? undefined : { expectedBytes: next.diedBytes, freedBytes });
  }
  return probes.get(path);
}

/** What is on the store's disk and not byteback's. Paths below the store, or from the file system's top with a slash before. */
async function findForeign({ store, contents }: Around): Promise<string[]> {
  return [...new Set([...(await foreignSubvolumes(store)), ...(await foreignEntries(store, contents))])];
}

/** True when one of these shares enough with something to hold what was deleted; also when that cannot be looked at. */
async function mayHold(foreign: readonly string[], store: Store): Promise<boolean> {
  if (foreign.length > mostLookedAt) return true;
  for (const path of foreign) {
    // What lies outside the store cannot be looked at, and an escaped name leads nowhere.
    const use = path.startsWith('/') ? undefined : await diskUse(join(store.root, path), probeMs);
    if (use === undefined || use.totalBytes - use.exclusiveBytes >= leastTellingBytes) return true;
  }
  return false;
}
