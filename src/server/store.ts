import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, chown, lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { BytebackError, reasonOf } from '../errors.ts';
import {
  type ClientName,
  parseClientName,
  parseSnapshotName,
  type RunId,
  type SnapshotName,
} from '../protocol/names.ts';
import { createSubvolume, deleteSubvolume, isRootsSubvolume, requireBtrfs } from '../system/btrfs.ts';
import { isMissing, syncDirectory, writeFileAtomically } from '../system/files.ts';
import { readStateFile, type StateRead } from '../system/state-file.ts';
import { explainStoreTrouble } from './store-trouble.ts';

/** `store.json`: what the store is; written once, by set-up. */
export const StoreFileSchema = v.object({
  /** Format of the store on the disk; a byteback that does not know the number does not touch it. */
  format: v.literal(1),
  /** 32 hexadecimal digits; tells two stores apart. */
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  createdAt: v.string(),
});
export type StoreFile = v.InferOutput<typeof StoreFileSchema>;

/** Numbers of the user and group that receives. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Where everything lies in a store. Nobody else builds such a path. */
export interface Store {
  readonly root: string;
  /** `.byteback`: root's own, nobody else may look into it. */
  readonly stateDir: string;
  readonly storeFile: string;
  readonly clientsDir: string;
  /** What root remembers of a client: machine id, holds. */
  clientStateFile(client: ClientName): string;
  runRecordsDir(client: ClientName): string;
  runRecordFile(client: ClientName, run: RunId): string;
  clientDir(client: ClientName): string;
  /** Locked while somebody writes `current`. */
  lockFile(client: ClientName): string;
  currentDir(client: ClientName): string;
  /** The only place that the receiving user can write. */
  fsDir(client: ClientName): string;
  runFile(client: ClientName): string;
  /** Which of its snapshots are being read: root's, and the receiving user's to look at. */
  readingFile(client: ClientName): string;
  snapshotsDir(client: ClientName): string;
  snapshotDir(client: ClientName, snapshot: SnapshotName): string;
  snapshotFsDir(client: ClientName, snapshot: SnapshotName): string;
  snapshotRunFile(client: ClientName, snapshot: SnapshotName): string;
  /** The manifest of the machine, root's, beside the run's record. */
  machineFile(client: ClientName): string;
  snapshotMachineFile(client: ClientName, snapshot: SnapshotName): string;
}

/** The paths of a store; looks at nothing. */
export function storeAt(root: string): Store {
  const stateDir = join(root, '.byteback');
  const clientsDir = join(root, 'clients');
  const clientDir = (client: ClientName) => join(clientsDir, client);
  const currentDir = (client: ClientName) => join(clientDir(client), 'current');
  const snapshotsDir = (client: ClientName) => join(clientDir(client), 'snapshots');
  const snapshotDir = (client: ClientName, snapshot: SnapshotName) => join(snapshotsDir(client), snapshot);
  return {
    root,
    stateDir,
    storeFile: join(stateDir, 'store.json'),
    clientsDir,
    clientStateFile: (client) => join(stateDir, 'clients', `${client}.json`),
    runRecordsDir: (client) => join(stateDir, 'runs', client),
    runRecordFile: (client, run) => join(stateDir, 'runs', client, `${run}.json`),
    clientDir,
    lockFile: (client) => join(clientDir(client), 'lock'),
    currentDir,
    fsDir: (client) => join(currentDir(client), 'fs'),
    runFile: (client) => join(currentDir(client), 'run.json'),
    readingFile: (client) => join(clientDir(client), 'reading.json'),
    snapshotsDir,
    snapshotDir,
    snapshotFsDir: (client, snapshot) => join(snapshotDir(client, snapshot), 'fs'),
    snapshotRunFile: (client, snapshot) => join(snapshotDir(client, snapshot), 'run.json'),
    machineFile: (client) => join(currentDir(client), 'machine.json'),
    snapshotMachineFile: (client, snapshot) => join(snapshotDir(client, snapshot), 'machine.json'),
  };
}

/**
 * Opens a store for root: it must be btrfs and hold a store of a format that is known.
 * @throws BytebackError notBtrfs, or usage when there is no store.
 */
export async function openStore({ store: root }: { readonly store: string }): Promise<Store> {
  const store = storeAt(root);
  const noStore = (why: string, fix: string, cause?: unknown) =>
    new BytebackError('usage', { what: `no store at ${root}`, why, fix }, { cause });
  const isItMounted = `check that the store is mounted, or set it up with: byteback-setup-server --store ${root}`;
  let read: StateRead<StoreFile>;
  try {
    await requireBtrfs(root);
    read = await readStateFile(store.storeFile, StoreFileSchema, 1);
  } catch (error) {
    if (error instanceof BytebackError) throw error;
    const explained = explainStoreTrouble(error, root);
    if (explained instanceof BytebackError) throw explained;
    throw noStore(reasonOf(error), isItMounted, error);
  }
  if (read.kind === 'ok') return store;
  if (read.kind === 'gone') throw noStore(`there is no ${store.storeFile}`, isItMounted);
  if (read.kind === 'newer') throw noStore(`${store.storeFile}: ${read.why}`, 'install that version of byteback again');
  throw noStore(
    `${store.storeFile} is damaged: ${read.why}`,
    // Only what the store is stands in it: set-up writes it anew, and all clients and snapshots stay.
    `mv ${store.storeFile} ${store.storeFile}.damaged; byteback-setup-server --store ${root}`,
  );
}

/** Makes the directories and the file that make a btrfs a store, whatever part of it stands already. Needs root. */
export async function createStore(root: string, now: Date): Promise<Store> {
  await requireBtrfs(root);
  const store = storeAt(root);
  await makeDirectory(store.stateDir, 0o700);
  await makeDirectory(join(store.stateDir, 'clients'), 0o700);
  await makeDirectory(join(store.stateDir, 'runs'), 0o700);
  await makeDirectory(store.clientsDir, 0o755);
  try {
    await lstat(store.storeFile);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const content: StoreFile = { format: 1, id: randomBytes(16).toString('hex'), createdAt: now.toISOString() };
    await writeFileAtomically(store.storeFile, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  }
  return await openStore({ store: root });
}

/** Makes a directory of root's, or checks that the one there is. */
export async function makeDirectory(path: string, mode: number, gid = 0): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await requireRootsDirectory(path);
  }
  await chown(path, 0, gid);
  await chmod(path, mode);
}

/** @throws BytebackError refused unless the path itself is a directory that belongs to root: a planted link is not. */
export async function requireRootsDirectory(path: string): Promise<void> {
  const stat = await lstat(path);
  if (stat.isDirectory() && stat.uid === 0) return;
  throw new BytebackError('refused', {
    what: `${path} is not a directory of root's`,
    why: 'nobody but root may change what stands here, so nothing is done with it',
    fix: `find out who made it, then move it away: ls -ld ${path}`,
  });
}

/** @throws BytebackError refused unless the path itself is a btrfs subvolume that belongs to root. */
export async function requireRootsSubvolume(path: string): Promise<void> {
  if (await isRootsSubvolume(path)) return;
  throw new BytebackError('refused', {
    what: `${path} is not a subvolume of root's`,
    why: 'nobody but root may change what stands here, so nothing is done with it',
    fix: `find out who made it, then move it away: ls -ld ${path}`,
  });
}

/** True when a client has a place in the store, whether or not its key is registered. */
export async function clientExists(store: Store, client: ClientName): Promise<boolean> {
  try {
    await lstat(store.clientDir(client));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * Makes a client's place in the store; all of it appears at once, by one rename. One that stands is checked, and what
 * it lacks is made. Needs root.
 */
export async function createClientDirectories(store: Store, client: ClientName, account: Account): Promise<void> {
  await requireRootsDirectory(store.clientsDir);
  if (await clientExists(store, client)) {
    await fillClientDirectory(store, client, account);
    return;
  }
  // No client's name begins with a dot, so that a place half made is never taken for a client.
  const temporary = join(store.clientsDir, `.new-${randomBytes(6).toString('hex')}`);
  const inTemporary = (path: string) => join(temporary, path.slice(store.clientDir(client).length));
  await mkdir(temporary, { mode: 0o700 });
  try {
    await fillClientDirectory(
      {
        ...store,
        clientDir: () => temporary,
        lockFile: (name) => inTemporary(store.lockFile(name)),
        currentDir: (name) => inTemporary(store.currentDir(name)),
        fsDir: (name) => inTemporary(store.fsDir(name)),
        snapshotsDir: (name) => inTemporary(store.snapshotsDir(name)),
      },
      client,
      account,
    );
    await rename(temporary, store.clientDir(client));
  } catch (error) {
    await removeUnfinished(temporary);
    throw error;
  }
  await syncDirectory(store.clientsDir);
}

async function fillClientDirectory(store: Store, client: ClientName, { uid, gid }: Account): Promise<void> {
  const current = store.currentDir(client);
  await requireRootsDirectory(store.clientDir(client));
  const there = await lstat(current).catch(() => undefined);
  if (there === undefined) await createSubvolume(current);
  await requireRootsSubvolume(current);
  await chmod(current, 0o755);
  const fs = await lstat(store.fsDir(client)).catch(() => undefined);
  if (fs === undefined) {
    await mkdir(store.fsDir(client), { mode: 0o700 });
    await chown(store.fsDir(client), uid, gid);
  }
  await makeDirectory(store.snapshotsDir(client), 0o755);
  await makeLockFile(store, client, { gid });
  await chown(store.clientDir(client), 0, gid);
  await chmod(store.clientDir(client), 0o750);
}

/** Makes a client's lock, or gives the one that is there its owner and mode. */
export async function makeLockFile(store: Store, client: ClientName, { gid }: Pick<Account, 'gid'>): Promise<void> {
  const lock = await open(store.lockFile(client), constants.O_RDONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    await lock.chown(0, gid);
    await lock.chmod(0o640);
    await lock.sync();
  } finally {
    await lock.close();
  }
}

/** Takes back what createClientDirectories made before it failed; what cannot be taken back is only a hidden directory. */
async function removeUnfinished(temporary: string): Promise<void> {
  await deleteSubvolume(join(temporary, 'current')).catch(() => undefined);
  await rmdir(join(temporary, 'snapshots')).catch(() => undefined);
  await unlink(join(temporary, 'lock')).catch(() => undefined);
  await rmdir(temporary).catch(() => undefined);
}

/** The clients that have a place in the store, by name; anything else that stands there is passed over. */
export async function listClientNames(store: Store): Promise<ClientName[]> {
  const entries = await readdir(store.clientsDir, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => parseClientName(entry.name))
    .filter((name) => name !== undefined)
    .sort();
}

/** A client's snapshots, oldest first; anything else that stands there is passed over. */
export async function listSnapshotNames(store: Store, client: ClientName): Promise<SnapshotName[]> {
  const entries = await readdir(store.snapshotsDir(client), { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => parseSnapshotName(entry.name))
    .filter((name) => name !== undefined)
    .sort();
}
