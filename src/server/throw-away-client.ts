import { lstat, readdir, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClientName, parseClientName } from '../protocol/names.ts';
import { deleteSubvolume } from '../system/btrfs.ts';
import { isMissing } from '../system/files.ts';
import { clientExists, requireRootsDirectory, requireRootsSubvolume, type Store } from './store.ts';

/** `.invalid` is nobody's domain: no machine bears such a name, and only such clients are ever thrown away. */
const throwAwaySuffix = '.invalid';

/** The name of a client that is made to try something out, and deleted again with all that it has. */
export function throwAwayName(purpose: 'setup-proof' | 'doctor-proof'): ClientName {
  const name = parseClientName(`${purpose}${throwAwaySuffix}`);
  if (name === undefined) throw new Error('every purpose makes a name');
  return name;
}

/** True for what was made to try something out: nobody needs to hear of it. */
export function isThrowAway(client: string): boolean {
  return client.endsWith(throwAwaySuffix);
}

async function ifThere(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function removeSubvolume(path: string): Promise<void> {
  await lstat(path);
  await requireRootsSubvolume(path);
  await deleteSubvolume(path);
}

/** Deletes a throw-away client, its snapshots and every trace of it, whatever part of it there is. */
export async function removeThrowAwayClient(store: Store, client: ClientName): Promise<void> {
  if (!isThrowAway(client)) throw new Error('only a throw-away client is thrown away');
  if (await clientExists(store, client)) {
    await requireRootsDirectory(store.clientDir(client));
    await ifThere(async () => {
      await requireRootsDirectory(store.snapshotsDir(client));
      for (const name of await readdir(store.snapshotsDir(client)))
        await removeSubvolume(join(store.snapshotsDir(client), name));
      await rmdir(store.snapshotsDir(client));
    });
    await ifThere(() => removeSubvolume(store.currentDir(client)));
    await ifThere(() => unlink(store.lockFile(client)));
    await rmdir(store.clientDir(client));
  }
  await rm(store.clientStateFile(client), { force: true });
  await rm(store.runRecordsDir(client), { recursive: true, force: true });
}
