import { join, relative } from 'node:path';
import { reasonOf } from '../../errors.ts';
import { deleteSubvolumeHeld, openStepByStep } from '../../system/btrfs/subvolumes.ts';
import { deleteSubvolume, waitForDeleted } from '../../system/btrfs.ts';
import type { Log } from '../../system/log.ts';
import { endReads } from '../reading.ts';
import { requireRootsSubvolume, type Store } from '../store.ts';
import type { StoredSnapshot } from './contents.ts';
import { withLastReserves } from './reserve.ts';

/** The space of a deleted snapshot is awaited for this long. A large one takes minutes. */
const awaitSpaceMs = 30 * 60_000;

/** What became of it. */
export interface Outcome {
  /** Why it could not be deleted; it stays. */
  readonly failed?: string;
  /** False when the space did not come back in time: nothing more may be deleted then, blindly. */
  readonly spaceIsBack: boolean;
}

/** Deletes a snapshot for good, and waits until its space is really free. */
export async function deleteSnapshot(store: Store, snapshot: StoredSnapshot | undefined, log: Log): Promise<Outcome> {
  if (snapshot === undefined) return { failed: 'it is not on the disk', spaceIsBack: true };
  try {
    await withLastReserves(store, log, () => deleteOne(store, snapshot));
    await endReads(store, snapshot.client, snapshot.name);
  } catch (error) {
    return { failed: reasonOf(error), spaceIsBack: true };
  }
  return { spaceIsBack: await waitForDeleted(store.root, awaitSpaceMs) };
}

async function deleteOne(store: Store, { client, directory, name, isOriginal }: StoredSnapshot): Promise<void> {
  if (isOriginal) {
    await deleteSubvolumeHeld(store.root, [client, name]);
    return;
  }
  // Names come from directories, so each step to it is looked at once more before root deletes what bears the name.
  const path = join(directory, name);
  const steps = relative(store.root, path).split('/');
  await (await openStepByStep(store.root, steps, 0)).close();
  await requireRootsSubvolume(path);
  await deleteSubvolume(path);
}
