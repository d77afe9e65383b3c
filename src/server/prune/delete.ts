import { join } from 'node:path';
import { reasonOf } from '../../errors.ts';
import { deleteSubvolume, waitForDeleted } from '../../system/btrfs.ts';
import { deleteSubvolumeById } from '../../system/btrfs-changes.ts';
import type { Log } from '../../system/log.ts';
import { requireRootsDirectory, requireRootsSubvolume, type Store } from '../store.ts';
import type { StoredSnapshot } from './contents.ts';
import { withLastReserves } from './reserve.ts';

/** The space of a deleted snapshot is awaited for this long. A large one takes minutes. */
const awaitSpaceMs = 30 * 60_000;

/** What became of a group. */
export interface GroupOutcome {
  /** Why single ones could not be deleted, by name; they stay. */
  readonly failed: ReadonlyMap<StoredSnapshot, string>;
  /** False when the space did not come back in time: nothing more may be deleted then, blindly. */
  readonly spaceIsBack: boolean;
}

/** Deletes snapshots for good, and waits until their space is really free. */
export async function deleteSnapshots(
  store: Store,
  snapshots: readonly StoredSnapshot[],
  log: Log,
): Promise<GroupOutcome> {
  const failed = new Map<StoredSnapshot, string>();
  for (const snapshot of snapshots) {
    try {
      await withLastReserves(store, log, () => deleteOne(store, snapshot));
    } catch (error) {
      failed.set(snapshot, reasonOf(error));
    }
  }
  return { failed, spaceIsBack: await waitForDeleted(store.root, awaitSpaceMs) };
}

async function deleteOne(store: Store, { directory, name, subvolumeId }: StoredSnapshot): Promise<void> {
  if (subvolumeId !== undefined) {
    await deleteSubvolumeById(store.root, subvolumeId);
    return;
  }
  // Names come from directories, so each is looked at once more before root deletes what bears it.
  await requireRootsDirectory(directory);
  const path = join(directory, name);
  await requireRootsSubvolume(path);
  await deleteSubvolume(path);
}
