import { lstat, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Failure } from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { createWritableSnapshot, deleteSubvolume } from '../../system/btrfs.ts';
import { openSimpleQuota } from '../../system/btrfs-quota.ts';
import { isMissing, syncDirectory } from '../../system/files.ts';
import { listSnapshotNames, requireRootsDirectory, requireRootsSubvolume, type Store } from '../store.ts';
import { writeCurrentRecord } from './record.ts';

/** Beside `current`, in a directory of root's: what takes its place, and what had it. */
function places(store: Store, client: ClientName) {
  const directory = store.clientDir(client);
  return { next: join(directory, '.current-next'), old: join(directory, '.current-old') };
}

/** True for the end of a run that had no room, and not for a disk that fails: there nothing is moved. */
export function endedForRoom({ exit, why = '' }: Failure): boolean {
  return exit === 'storeFull' && !/input\/output error/.test(why);
}

/**
 * Gives back what a run took that ended for want of room: `current` goes back to its last snapshot. Whoever calls holds the
 * client's lock, and nothing writes there any more. A crash at any step is mended by `settleCurrent`.
 * @returns false where it cannot be done: before the first snapshot, and with simple quotas, which would charge a new subvolume.
 */
export async function giveBack(store: Store, record: RunRecord): Promise<boolean> {
  const { client } = record;
  await settleCurrent(store, client);
  const last = (await listSnapshotNames(store, client)).at(-1);
  if (last === undefined || (await openSimpleQuota(store.root)) !== undefined) return false;
  const { next, old } = places(store, client);
  const current = store.currentDir(client);
  await requireRootsSubvolume(current);
  await requireRootsSubvolume(store.snapshotDir(client, last));
  await createWritableSnapshot(store.snapshotDir(client, last), next);
  // Its record still is that of the snapshot: the run that failed stays the newest, and says why it failed.
  await writeCurrentRecord({ ...store, runFile: () => join(next, 'run.json') }, record);
  await rename(current, old);
  await rename(next, current);
  await syncDirectory(store.clientDir(client));
  await deleteSubvolume(old);
  return true;
}

/** Ends what a crash left half done, in whatever step: what is complete takes its place, what is left over goes. */
export async function settleCurrent(store: Store, client: ClientName): Promise<void> {
  const { next, old } = places(store, client);
  const current = store.currentDir(client);
  if (!(await exists(next)) && !(await exists(old))) return;
  await requireRootsDirectory(store.clientDir(client));
  if (!(await exists(current))) {
    // Between the two renames both are whole; the one that was to come is.
    const whole = (await exists(next)) ? next : old;
    await requireRootsSubvolume(whole);
    await rename(whole, current);
    await syncDirectory(store.clientDir(client));
  }
  for (const path of [next, old]) {
    if (!(await exists(path))) continue;
    await requireRootsSubvolume(path);
    await deleteSubvolume(path);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
