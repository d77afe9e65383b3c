import { readFile, stat } from 'node:fs/promises';
import * as v from 'valibot';
import type { ServerConfig } from '../config/server-config.ts';
import { BytebackError } from '../errors.ts';
import type { ClientName, SnapshotName } from '../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../protocol/run-record.ts';
import type { ClientStatus, Running, ServerStatus, StoreStatus } from '../report/fleet.ts';
import { expectedNeedBytes } from '../retention/need.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing } from '../system/files.ts';
import { silentLog } from '../system/log.ts';
import { readEvents, type ServerEvent } from './events.ts';
import { type Holds, readHolds } from './holds.ts';
import { type Ledger, readLedger } from './ledger.ts';
import { longestSilenceMs, rhythmOf } from './overdue.ts';
import { readSnapshots, type StoredSnapshot } from './prune/contents.ts';
import { forecastInWords, readForecast, type StoreForecast } from './prune/forecast.ts';
import { readSpace, type Space } from './prune/space.ts';
import { entriesOf, readRegistry } from './registry.ts';
import { readClientState } from './runs/client-state.ts';
import { alertsOf } from './status-alerts.ts';
import { findTransfers, type JailedTransfer } from './status-running.ts';
import { tellSpace } from './status-words.ts';
import type { Store } from './store.ts';

const hourMs = 3_600_000;

/**
 * True when the newest snapshot is older than it may be, see `longestSilenceMs`.
 * @param times of its snapshots, oldest first, in milliseconds since 1970.
 * @param registeredMs when it was registered, for one that has none.
 */
export function isOverdue(
  times: readonly number[],
  nowMs: number,
  expectMs?: number | null,
  registeredMs?: number,
): boolean {
  const newest = times.at(-1) ?? registeredMs;
  const longest = longestSilenceMs(times, expectMs);
  return newest !== undefined && longest !== undefined && nowMs - newest > longest;
}

/** How far back events are told. */
const eventsShownMs = 30 * 24 * hourMs;

/** What a look needs. */
export interface StatusSources {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly registryFile: string;
}

/** A status, and what it was made from, for those that show more of it. */
export interface Looked {
  readonly status: ServerStatus;
  readonly snapshots: ReadonlyMap<ClientName, readonly StoredSnapshot[]>;
  readonly ledger: Ledger;
  readonly events: readonly ServerEvent[];
}

/**
 * Looks at everything that a server holds; changes nothing. Needs root.
 * @throws BytebackError usage when it may not look, or the registry's errors.
 */
export async function readServerStatus(sources: StatusSources, deps: { clock: Clock }): Promise<ServerStatus> {
  return (await lookAtServer(sources, deps)).status;
}

/** The same, with what it was made from. */
export async function lookAtServer(
  { config, store, registryFile }: StatusSources,
  { clock }: { clock: Clock },
): Promise<Looked> {
  const now = clock.now();
  const { startPercent } = config.prune;
  const [space, snapshots, holds, registry, forecast, ledger, transfers, events] = await Promise.all([
    readSpace(store.root, startPercent, { sync: false }),
    readSnapshots(store),
    readHolds(store),
    readRegistry(registryFile),
    readForecast({ config, store, clock, log: silentLog }),
    readLedger(store, silentLog),
    findTransfers(store),
    // What happened is only told; that it cannot be read hides nothing else.
    readEvents(store, { since: new Date(now.getTime() - eventsShownMs), now }).catch(() => []),
  ]);
  const registered = new Set(entriesOf(registry).flatMap((entry) => (entry.role === 'client' ? [entry.name] : [])));
  const names = [...new Set([...registered, ...snapshots.keys()])].toSorted();
  const seen: Seen = { config, store, registered, snapshots, holds, forecast, transfers, now };
  const clients = await Promise.all(names.map((name) => statusOf(name, seen)));
  const told = tellStore(config, store, { space, ledger, forecast }, now);
  const status = {
    at: now.toISOString(),
    store: told,
    clients,
    alerts: alertsOf({ store: told, clients, events }, now.getTime()),
  };
  return { status, snapshots, ledger, events };
}

/** What is known of all clients. */
interface Seen {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly registered: ReadonlySet<ClientName>;
  readonly snapshots: ReadonlyMap<ClientName, readonly StoredSnapshot[]>;
  readonly holds: Holds;
  readonly forecast: StoreForecast;
  readonly transfers: readonly JailedTransfer[];
  readonly now: Date;
}

async function statusOf(name: ClientName, seen: Seen): Promise<ClientStatus> {
  const { store, registered, snapshots, holds, forecast, transfers, now } = seen;
  const its = snapshots.get(name) ?? [];
  const times = its.map(({ time }) => time);
  const newest = its.at(-1);
  const [oldest] = its;
  const current = await readRecord(store.runFile(name));
  const open = current?.state === 'open' ? current : undefined;
  const history = forecast.clients.find(({ client }) => client === name);
  const held = holds.holds.filter(({ client }) => client === name);
  return {
    name,
    registered: registered.has(name),
    snapshots: its.length,
    held: held.length,
    holds: held.map(({ snapshot, reason, since, by }) => ({ snapshot, reason, since, by })),
    oldestAt: oldest === undefined ? null : new Date(oldest.time).toISOString(),
    newest: newest === undefined ? null : await newestOf(store, newest),
    rhythmMs: rhythmOf(times) ?? null,
    openRunSince: open?.preparedAt ?? null,
    running: transfers.filter(({ client }) => client === name).map((transfer) => runningOf(transfer, open, now)),
    overdue: isOverdue(
      times,
      now.getTime(),
      seen.config.policyOf(name).expectMs,
      // The place of a client is made when it is registered.
      its.length > 0 ? undefined : (await stat(store.clientDir(name)).catch(() => undefined))?.birthtimeMs,
    ),
    pruningPaused: holds.paused.find(({ client }) => client === name)?.reason ?? null,
    depthDays: history?.depthDays ?? null,
    depthWithMoreDays: history?.depthWithMoreDays ?? null,
    historyBytes: history?.historyBytes ?? null,
    forecast: history === undefined ? null : forecastInWords(history, forecast.extraBytes),
    lastProven: await lastProvenOf(store, name),
  };
}

function runningOf({ kind, doneBytes, ageMs }: JailedTransfer, open: RunRecord | undefined, now: Date): Running {
  const isRun = kind === 'backup' && open !== undefined;
  return {
    kind,
    run: isRun ? open.run : null,
    since: new Date(now.getTime() - ageMs).toISOString(),
    expectedBytes: isRun ? open.expectedBytes : null,
    doneBytes,
    bytesPerSecond: ageMs < 1000 ? 0 : Math.round((1000 * doneBytes) / ageMs),
  };
}

function tellStore(
  config: ServerConfig,
  store: Store,
  { space, ledger, forecast }: { space: Space; ledger: Ledger; forecast: StoreForecast },
  now: Date,
): StoreStatus {
  const { startPercent, stopPercent } = config.prune;
  const histories = Object.values(ledger.clients).map(({ history }) => history);
  const historyBytes = forecast.clients.reduce((sum, client) => sum + client.historyBytes, 0);
  const need = expectedNeedBytes(
    histories.map(({ runs }) => runs),
    now.getTime(),
  );
  const facts = {
    totalBytes: space.totalBytes,
    freeBytes: Math.round(space.freeBytes),
    historyBytes: Math.round(historyBytes),
    nextRunsBytes: Math.round(need),
  };
  const { metadataShort } = space;
  const thinned = histories.some((history) => history.thinned);
  return {
    path: store.root,
    ...facts,
    ...tellSpace({ ...facts, startPercent, thinned, metadataShort }),
    pruneBelowPercent: startPercent,
    pruneUntilPercent: stopPercent,
    forecastBytes: forecast.extraBytes,
  };
}

/** When a restore of a client was last proven: a drill writes it into root's state of the client. */
const LastProvenSchema = v.object({
  lastProven: v.object({ at: v.pipe(v.string(), v.isoTimestamp()), snapshot: v.optional(v.string()) }),
});

async function lastProvenOf(store: Store, client: ClientName): Promise<ClientStatus['lastProven']> {
  const state = await readClientState(store, client).catch(() => undefined);
  const { success, output } = v.safeParse(LastProvenSchema, state);
  return success ? { at: output.lastProven.at, snapshot: output.lastProven.snapshot ?? null } : null;
}

async function newestOf(
  store: Store,
  { client, name, time, isOriginal }: StoredSnapshot,
): Promise<ClientStatus['newest']> {
  const record = isOriginal ? undefined : await readRecord(store.snapshotRunFile(client, name as SnapshotName));
  const { figures, whole } = record ?? {};
  // A run of single sources does not know the whole.
  const tree = whole === false ? undefined : figures;
  return {
    name,
    at: new Date(time).toISOString(),
    status: record?.status ?? 'unknown',
    totalBytes: tree?.totalBytes ?? null,
    files: tree?.files ?? null,
    sentBytes: figures?.sentBytes ?? null,
    durationMs: figures?.durationMs ?? null,
    unread: record?.unread?.length ?? null,
  };
}

/** A run's record, or undefined when there is none or it cannot be understood: a status is shown all the same. */
export async function readRecord(path: string): Promise<RunRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return v.parse(RunRecordSchema, JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** @throws BytebackError usage for everybody but root: the store's state is root's alone. */
export function requireRoot(uid: number | undefined = process.getuid?.()): void {
  if (uid === 0) return;
  throw new BytebackError('usage', {
    what: 'only root may look into the store',
    why: 'what it holds is as private as the clients it came from',
    fix: 'run it as root: sudo byteback status',
  });
}
