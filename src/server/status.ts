import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import type { ServerConfig } from '../config/server-config.ts';
import { BytebackError } from '../errors.ts';
import type { ClientName, SnapshotName } from '../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../protocol/run-record.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing } from '../system/files.ts';
import { silentLog } from '../system/log.ts';
import { readHolds } from './holds.ts';
import { readSnapshots, type StoredSnapshot } from './prune/contents.ts';
import { forecastInWords, readForecast } from './prune/forecast.ts';
import { readSpace } from './prune/space.ts';
import { entriesOf, readRegistry } from './registry.ts';
import type { Store } from './store.ts';

/** How a server stands, as `byteback status --json` prints it. Times are ISO 8601, UTC. */
export interface ServerStatus {
  readonly store: {
    readonly path: string;
    readonly totalBytes: number;
    readonly freeBytes: number;
    /** Pruning begins when less than this is free. */
    readonly pruneBelowPercent: number;
  };
  readonly clients: readonly ClientStatus[];
}

/** How one client stands on the server. */
export interface ClientStatus {
  readonly name: ClientName;
  /** False when its key is gone: its history stays, it cannot add to it. */
  readonly registered: boolean;
  readonly snapshots: number;
  readonly held: number;
  readonly oldestAt: string | null;
  readonly newest: {
    readonly name: string;
    readonly at: string;
    /** `unknown` for snapshots of the original byteback. */
    readonly status: 'ok' | 'partial' | 'unknown';
    /** Bytes of all files in it, as the client counted them. */
    readonly totalBytes: number | null;
    readonly files: number | null;
  } | null;
  /** When the run began that is under way, or that was given up; null when the last one completed. */
  readonly openRunSince: string | null;
  /** The newest snapshot is much older than this client's rhythm lets expect. */
  readonly overdue: boolean;
  /** Why its pruning is paused; null when it is not. */
  readonly pruningPaused: string | null;
  /** How far back its history goes, and would go: "143 days of history at today's churn; …". Null before the first prune. */
  readonly forecast: string | null;
}

const hourMs = 3_600_000;

/**
 * True when the newest snapshot is older than a day and two hours, and than twice the client's usual interval.
 * @param times of its snapshots, oldest first, in milliseconds since 1970.
 */
export function isOverdue(times: readonly number[], nowMs: number): boolean {
  const newest = times.at(-1);
  if (newest === undefined) return false;
  const recent = times.slice(-15);
  const intervals = recent.slice(1).map((time, index) => time - (recent[index] ?? time));
  const usual = intervals.toSorted((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? 0;
  return nowMs - newest > Math.max(26 * hourMs, 2 * usual);
}

/**
 * Looks at everything that a server holds; changes nothing. Needs root.
 * @throws BytebackError usage when it may not look, or the registry's errors.
 */
export async function readServerStatus(
  { config, store, registryFile }: { config: ServerConfig; store: Store; registryFile: string },
  { clock }: { clock: Clock },
): Promise<ServerStatus> {
  const { startPercent } = config.prune;
  const [space, snapshots, holds, registry, forecast] = await Promise.all([
    readSpace(store.root, startPercent, { sync: false }),
    readSnapshots(store),
    readHolds(store),
    readRegistry(registryFile),
    readForecast({ config, store, clock, log: silentLog }),
  ]);
  const registered = new Set(entriesOf(registry).flatMap((entry) => (entry.role === 'client' ? [entry.name] : [])));
  const names = [...new Set([...registered, ...snapshots.keys()])].toSorted();
  const clients = names.map(async (name): Promise<ClientStatus> => {
    const its = snapshots.get(name) ?? [];
    const newest = its.at(-1);
    const [oldest] = its;
    const current = await readRecord(store.runFile(name));
    const history = forecast.clients.find(({ client }) => client === name);
    return {
      name,
      registered: registered.has(name),
      snapshots: its.length,
      held: holds.holds.filter(({ client }) => client === name).length,
      oldestAt: oldest === undefined ? null : new Date(oldest.time).toISOString(),
      newest: newest === undefined ? null : await newestOf(store, newest),
      openRunSince: current?.state === 'open' ? current.preparedAt : null,
      overdue: isOverdue(
        its.map(({ time }) => time),
        clock.now().getTime(),
      ),
      pruningPaused: holds.paused.find(({ client }) => client === name)?.reason ?? null,
      forecast: history === undefined ? null : forecastInWords(history, forecast.extraBytes),
    };
  });
  return {
    store: {
      path: store.root,
      totalBytes: space.totalBytes,
      freeBytes: space.freeBytes,
      pruneBelowPercent: startPercent,
    },
    clients: await Promise.all(clients),
  };
}

async function newestOf(
  store: Store,
  { client, name, time, subvolumeId }: StoredSnapshot,
): Promise<ClientStatus['newest']> {
  const isOriginal = subvolumeId !== undefined;
  const record = isOriginal ? undefined : await readRecord(store.snapshotRunFile(client, name as SnapshotName));
  return {
    name,
    at: new Date(time).toISOString(),
    status: record?.status ?? 'unknown',
    totalBytes: record?.figures?.totalBytes ?? null,
    files: record?.figures?.files ?? null,
  };
}

/** A run's record, or undefined when there is none or it cannot be understood: a status is shown all the same. */
async function readRecord(path: string): Promise<RunRecord | undefined> {
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
