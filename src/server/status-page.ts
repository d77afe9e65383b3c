import { hostname } from 'node:os';
import { reasonOf } from '../errors.ts';
import type { PageModel, PageSnapshot } from '../report/page/model.ts';
import type { Clock } from '../system/clock.ts';
import { silentLog } from '../system/log.ts';
import { version } from '../version.ts';
import { timeOfSnapshotName } from './prune/contents.ts';
import { prune } from './prune/prune.ts';
import type { PruneReport } from './prune/types.ts';
import type { Looked, StatusSources } from './status.ts';
import { readSpaceHistory } from './status-space.ts';

/** As many events as somebody reads. */
const mostEvents = 200;

/** Gathers all that the page shows; changes nothing. */
export async function readPage(
  { status, snapshots, ledger, events }: Looked,
  { config, store, away }: StatusSources,
  { clock }: { clock: Clock },
): Promise<PageModel> {
  const plan = away === undefined ? await planOf({ config, store }, clock) : { refused: away };
  const space = away === undefined ? await readSpaceHistory(store).catch(() => []) : [];
  const decisions = 'refused' in plan ? [] : plan.decisions;
  const going = decisions.filter(({ verdict }) => verdict === 'pruned');
  const keyOf = (client: string, snapshot: string) => `${client} ${snapshot}`;
  const places = new Map(going.map(({ client, snapshot }, at) => [keyOf(client, snapshot), at + 1]));
  const reasons = new Map(decisions.map(({ client, snapshot, reason }) => [keyOf(client, snapshot), reason]));
  const { totalBytes, freeBytes, historyBytes } = status.store;
  return {
    host: hostname(),
    version,
    status,
    snapshots: new Map(
      [...snapshots].map(([client, its]) => {
        const known = new Map((ledger.clients[client]?.history.entries ?? []).map((entry) => [entry.name, entry]));
        const held = new Set(status.clients.find(({ name }) => name === client)?.holds.map(({ snapshot }) => snapshot));
        const told = its.map(({ name, time }): PageSnapshot => {
          const entry = known.get(name);
          return {
            name,
            at: new Date(time).toISOString(),
            status: entry?.status ?? 'unknown',
            held: held.has(name),
            newBytes: entry === undefined ? null : entry.bornBytes,
            place: places.get(keyOf(client, name)) ?? null,
            reason: firstOf(reasons.get(keyOf(client, name)) ?? 'not planned yet'),
          };
        });
        return [client, told];
      }),
    ),
    // A store that is away has no figures.
    space: status.store.state === 'away' ? space : [...space, { at: status.at, totalBytes, freeBytes, historyBytes }],
    events: events
      .slice(-mostEvents)
      .toReversed()
      .map(({ at, kind, client, what, why, count }) => ({
        at,
        kind,
        client: client ?? null,
        what,
        why: why ?? null,
        count: count ?? 1,
      })),
    next: going.map(({ client, snapshot, freesBytes, reason }) => ({
      client,
      snapshot,
      at: new Date(timeOfSnapshotName(snapshot) ?? 0).toISOString(),
      freesBytes,
      reason,
    })),
    pruningRefused:
      'refused' in plan ? plan.refused : plan.outcome === 'refused' ? (plan.why ?? 'it is refused') : null,
  };
}

/** The plan for everything, or why there is none: a page without it is better than no page. */
async function planOf(
  sources: Pick<StatusSources, 'config' | 'store'>,
  clock: Clock,
): Promise<PruneReport | { readonly refused: string }> {
  try {
    return await prune({ mode: 'list', order: 'importance' }, { ...sources, clock, log: silentLog });
  } catch (error) {
    return { refused: reasonOf(error) };
  }
}

/** A reason and what stands behind it are parted by a semicolon; on the page the first is enough for what stays. */
function firstOf(reason: string): string {
  return reason.split('; ')[0] ?? reason;
}
