import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { type ClientName, parseClientName, snapshotTime } from '../../protocol/names.ts';
import { byTime } from '../../retention/importance.ts';
import { subvolumesIn } from '../../system/btrfs/subvolumes.ts';
import { isMissing } from '../../system/files.ts';
import { listClientNames, requireRootsDirectory, type Store } from '../store.ts';

/** One snapshot on the disk. */
export interface StoredSnapshot {
  readonly client: ClientName;
  readonly name: string;
  /** Milliseconds since 1970, from the name. */
  readonly time: number;
  /** The directory that it stands in: root's, except for the original's. */
  readonly directory: string;
  /**
   * A snapshot of the original byteback. Its directory belongs to the receiving user, who could put a link in its place between
   * a look and a deletion.
   */
  readonly isOriginal: boolean;
}

/** The original's names: local time with its distance from UTC. */
const originalName = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2})([+-]\d{2})(\d{2})$/;

/** True for a name that the original byteback gave a snapshot. */
export function isOriginalName(name: string): boolean {
  return originalName.test(name);
}

/** Milliseconds since 1970 of a snapshot's name in either form, or undefined when it is none. */
export function timeOfSnapshotName(name: string): number | undefined {
  const own = snapshotTime(name);
  if (own !== undefined) return own.getTime();
  const parts = originalName.exec(name);
  if (parts === null) return undefined;
  const time = Date.parse(`${parts[1]}:00${parts[2]}:${parts[3]}`);
  return Number.isNaN(time) ? undefined : time;
}

/** All snapshots of all clients that are on the disk, oldest first for each client; those of the original included. */
export async function readSnapshots(store: Store): Promise<Map<ClientName, StoredSnapshot[]>> {
  const found = new Map<ClientName, StoredSnapshot[]>();
  for (const client of await listClientNames(store)) found.set(client, await ownSnapshots(store, client));
  for (const snapshot of await originalSnapshots(store)) {
    found.set(snapshot.client, [...(found.get(snapshot.client) ?? []), snapshot]);
  }
  for (const snapshots of found.values()) snapshots.sort(byTime);
  return found;
}

async function ownSnapshots(store: Store, client: ClientName): Promise<StoredSnapshot[]> {
  const directory = store.snapshotsDir(client);
  try {
    await requireRootsDirectory(directory);
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.flatMap(({ name }) => {
      const time = snapshotTime(name)?.getTime();
      return time === undefined ? [] : [{ client, name, time, directory, isOriginal: false }];
    });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** What the original byteback left at the top of the store: `<client>/<time>`, each a subvolume. */
async function originalSnapshots(store: Store): Promise<StoredSnapshot[]> {
  const found: StoredSnapshot[] = [];
  for (const entry of await readdir(store.root, { withFileTypes: true })) {
    const client = entry.isDirectory() ? parseClientName(entry.name) : undefined;
    if (client === undefined) continue;
    const directory = join(store.root, client);
    for (const name of await subvolumesIn(directory, (each) => originalName.test(each))) {
      const time = timeOfSnapshotName(name);
      if (time !== undefined) found.push({ client, name, time, directory, isOriginal: true });
    }
  }
  return found;
}

/**
 * The name of a client's snapshot that is there; `newest` is the newest one.
 * @throws BytebackError usage when there is no such.
 */
export async function requireSnapshot(store: Store, client: ClientName, name: string): Promise<string> {
  const snapshots = (await readSnapshots(store)).get(client) ?? [];
  const found = name === 'newest' ? snapshots.at(-1) : snapshots.find((snapshot) => snapshot.name === name);
  if (found !== undefined) return found.name;
  throw new BytebackError('usage', {
    what: `${client} has no snapshot ${escapeName(name)}`,
    why: snapshots.length === 0 ? 'it has none at all' : `its newest is ${snapshots.at(-1)?.name}`,
    fix: 'byteback-prune --list shows all of them',
  });
}
