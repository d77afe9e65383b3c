import { lstat } from 'node:fs/promises';
import type { ServerConfig } from '../config/server-config.ts';
import { type ClientName, snapshotTime } from '../protocol/names.ts';
import { isMissing } from '../system/files.ts';
import { entriesOf, readRegistry } from './registry.ts';
import { listSnapshotNames, type Store } from './store.ts';

const hourMs = 3_600_000;

/** The usual time between two of the newest fifteen snapshots, in milliseconds; undefined while there are fewer than two. */
export function rhythmOf(times: readonly number[]): number | undefined {
  const recent = times.slice(-15);
  const intervals = recent.slice(1).map((time, index) => time - (recent[index] ?? time));
  return intervals.toSorted((a, b) => a - b)[Math.floor(intervals.length / 2)];
}

/**
 * How old the newest snapshot of a client may be, in milliseconds; undefined: any age. Without a word in the configuration that is a
 * day and two hours, or twice the client's usual interval where that is longer.
 * @param times of its snapshots, oldest first, in milliseconds since 1970.
 * @param expectMs what server.toml says; null: nothing is expected.
 */
export function longestSilenceMs(times: readonly number[], expectMs: number | null | undefined): number | undefined {
  if (expectMs === null) return undefined;
  if (expectMs !== undefined) return expectMs + Math.max(hourMs, expectMs / 12);
  return Math.max(26 * hourMs, 2 * (rhythmOf(times) ?? 0));
}

/** A client that should have sent something. */
export interface OverdueClient {
  readonly client: ClientName;
  /** When its newest snapshot was taken, or when it was registered while it has none. */
  readonly since: Date;
  readonly hasSnapshots: boolean;
  readonly longestSilenceMs: number;
}

/** The registered clients that are overdue, by name. */
export async function findOverdue(
  { config, store, registryFile }: { config: ServerConfig; store: Store; registryFile: string },
  now: Date,
): Promise<OverdueClient[]> {
  const registered = entriesOf(await readRegistry(registryFile)).flatMap((entry) =>
    entry.role === 'client' ? [entry.name] : [],
  );
  const looked = await Promise.all(
    [...new Set(registered)].toSorted().map(async (client): Promise<OverdueClient[]> => {
      try {
        const names = await listSnapshotNames(store, client);
        const times = names.map((name) => snapshotTime(name)?.getTime() ?? 0).sort((a, b) => a - b);
        const longest = longestSilenceMs(times, config.policyOf(client).expectMs);
        const since = times.at(-1) ?? (await lstat(store.clientDir(client))).birthtimeMs;
        if (longest === undefined || now.getTime() - since <= longest) return [];
        return [{ client, since: new Date(since), hasSnapshots: times.length > 0, longestSilenceMs: longest }];
      } catch (error) {
        // Registered, and without a place in the store: its first run makes one, or says what is wrong.
        if (isMissing(error)) return [];
        throw error;
      }
    }),
  );
  return looked.flat();
}
