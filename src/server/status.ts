import { readFile, stat } from 'node:fs/promises';
import * as v from 'valibot';
import { serverPaths } from '../config/paths.ts';
import { loadServerConfig, type ServerConfig } from '../config/server-config.ts';
import { BytebackError, reasonOf } from '../errors.ts';
import type { ClientName, SnapshotName } from '../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../protocol/run-record.ts';
import type { ClientStatus, Running, ServerStatus, StoreStatus } from '../report/fleet.ts';
import { expectedNeedBytes } from '../retention/need.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing } from '../system/files.ts';
import { silentLog } from '../system/log.ts';
import { readEvents, type ServerEvent } from './events.ts';
import type { HealthFinding } from './health/check.ts';
import { alertOf, healthOf } from './health/checks.ts';
import { lookAtClock } from './health/clock.ts';
import { collectGround, fact, lookAtConfig, lookAtPlaces, valueOr } from './health/collect.ts';
import type { Fact } from './health/facts.ts';
import { prunableBytes } from './health/prunable.ts';
import { type Holds, readHolds } from './holds.ts';
import { type Ledger, readLedger } from './ledger.ts';
import { longestSilenceMs, rhythmOf } from './overdue.ts';
import { readSnapshots, type StoredSnapshot } from './prune/contents.ts';
import { forecastInWords, readForecast, type StoreForecast } from './prune/forecast.ts';
import { readSpace, type Space } from './prune/space.ts';
import { entriesOf, readRegistry } from './registry.ts';
import { readClientState } from './runs/client-state.ts';
import { findTransfers, type JailedTransfer } from './status-running.ts';
import { tellSpace } from './status-words.ts';
import { openStore, type Store, storeAt } from './store.ts';

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
  /** Why there is no store at that place; undefined when it is there. */
  readonly away?: string;
}

/** A status, and what it was made from, for those that show more of it. */
export interface Looked {
  readonly status: ServerStatus;
  readonly health: readonly HealthFinding[];
  readonly snapshots: ReadonlyMap<ClientName, readonly StoredSnapshot[]>;
  readonly ledger: Ledger;
  readonly events: readonly ServerEvent[];
}

/**
 * This machine as a server, whether or not its store is there: that it is away is what a look has to tell.
 * @throws BytebackError when it is no server, or the caller is not root.
 */
export async function statusSources(): Promise<StatusSources> {
  requireRoot();
  const config = await loadServerConfig();
  const sources = { config, store: storeAt(config.store), registryFile: serverPaths.authorizedKeys };
  try {
    await openStore(config);
    return sources;
  } catch (error) {
    const { what, why } =
      error instanceof BytebackError ? error.explanation : { what: reasonOf(error), why: undefined };
    return { ...sources, away: why === undefined ? what : `${what}: ${why}` };
  }
}

/**
 * Looks at everything that a server holds; changes nothing. What cannot be read is a finding, and hides nothing else. Needs root.
 * @throws BytebackError usage when it may not look.
 */
export async function readServerStatus(sources: StatusSources, deps: { clock: Clock }): Promise<ServerStatus> {
  return (await lookAtServer(sources, deps)).status;
}

/** The same, with what it was made from. */
export async function lookAtServer(
  { config, store, registryFile, away }: StatusSources,
  { clock }: { clock: Clock },
): Promise<Looked> {
  const now = clock.now();
  const nowMs = now.getTime();
  const inStore = <T>(look: () => Promise<T>): Promise<Fact<T>> | Fact<T> =>
    away === undefined ? fact(look) : { skipped: true };
  const [space, snapshotsRead, holdsRead, registry, forecastRead, ledger, transfers, eventsRead, ground] =
    await Promise.all([
      inStore(() => readSpace(store.root, config.prune.startPercent, { sync: false })),
      inStore(() => readSnapshots(store)),
      inStore(() => readHolds(store)),
      fact(() => readRegistry(registryFile)),
      inStore(() => readForecast({ config, store, clock, log: silentLog })),
      away === undefined ? readLedger(store, silentLog) : { clock: {}, clients: {} },
      away === undefined ? findTransfers(store).catch(() => []) : [],
      inStore(() => readEvents(store, { since: new Date(nowMs - eventsShownMs), now })),
      collectGround(store, away === undefined),
    ]);
  const snapshots = valueOr<ReadonlyMap<ClientName, readonly StoredSnapshot[]>>(snapshotsRead, new Map());
  const holds = valueOr<Holds>(holdsRead, { format: 1, holds: [], paused: [], allowGrowth: [] });
  const forecast = valueOr<StoreForecast>(forecastRead, { extraBytes: 0, clients: [] });
  const entries = 'value' in registry ? entriesOf(registry.value) : [];
  const registered = new Set(entries.flatMap((entry) => (entry.role === 'client' ? [entry.name] : [])));
  const names = [...new Set([...registered, ...snapshots.keys()])].toSorted();
  const seen: Seen = { config, store, registered, snapshots, holds, forecast, transfers, now };
  const clients = await fact(() => Promise.all(names.map((name) => statusOf(name, seen))));
  const told = 'value' in space ? tellStore({ ...seen, space: space.value, ledger }) : tellNoStore(seen, away ?? space);
  const clock_ = lookAtClock(snapshots, ledger, nowMs);
  const health = healthOf(
    {
      ...ground,
      config: { value: lookAtConfig(config, names) },
      store: { value: { away: away ?? null } },
      space: 'value' in space ? { value: told } : space,
      clients: [snapshotsRead, holdsRead, registry].find((read) => 'unreadable' in read) ?? clients,
      places: 'unreadable' in registry ? registry : await inStore(() => lookAtPlaces(store, [...registered])),
      clock: { value: clock_ },
      events: eventsRead,
    },
    nowMs,
  );
  const status = { at: now.toISOString(), store: told, clients: valueOr(clients, []), alerts: health.map(alertOf) };
  return { status, health, snapshots, ledger, events: valueOr(eventsRead, []) };
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

function tellStore(seen: Seen & { space: Space; ledger: Ledger }): StoreStatus {
  const { config, space, ledger, holds, forecast, now } = seen;
  const { startPercent } = config.prune;
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
  const prunable = prunableBytes(ledger, holds, config, now.getTime());
  return {
    ...withoutFigures(seen),
    ...facts,
    ...tellSpace({ ...facts, startPercent, thinned, metadataShort, prunableBytes: prunable }),
  };
}

/** A store that is not there, or whose room cannot be read. */
function tellNoStore(seen: Seen, why: string | Fact<unknown>): StoreStatus {
  const reason = typeof why === 'string' ? why : 'unreadable' in why ? why.unreadable : 'it is not there';
  return { ...withoutFigures(seen), state: 'away', inWords: `not there: ${reason}` };
}

function withoutFigures({ config, store, forecast }: Seen): StoreStatus {
  const { startPercent, stopPercent } = config.prune;
  return {
    path: store.root,
    totalBytes: 0,
    freeBytes: 0,
    historyBytes: 0,
    nextRunsBytes: 0,
    nextRunsFit: false,
    state: 'away',
    inWords: '',
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
