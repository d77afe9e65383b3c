import { lstat, mkdir, readdir, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../errors.ts';
import { balanceData } from '../../system/btrfs/balance.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';
import { isMissing } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { isOutOfSpace } from '../../system/out-of-space.ts';
import { run } from '../../system/run.ts';
import type { Store } from '../store.ts';
import { readSpace, type Space } from './space.ts';

const mebibyte = 1024 * 1024;

/** A file of nothing that is given up when there is no room left for data. */
function dataReserve(store: Store): string {
  return join(store.stateDir, 'reserve');
}

/**
 * The same for metadata: links with long targets, which lie in the metadata themselves. Metadata that are full cannot
 * be helped otherwise, since moving data chunks together needs some room for metadata first.
 */
function metadataReserve(store: Store): string {
  return join(store.stateDir, 'metadata-reserve');
}

/** Half a percent of the store, from 4 MiB to 1 GiB. */
function dataReserveBytes(totalBytes: number): number {
  return Math.round(Math.min(1024 * mebibyte, Math.max(4 * mebibyte, totalBytes / 200)));
}

/** A link's target as long as the kernel takes it. */
const linkBytes = 4095;

/** One percent of the store, from 4 MiB to 48 MiB: what moving chunks needs does not grow with the store. */
function metadataReserveLinks(totalBytes: number): number {
  return Math.ceil(Math.min(48 * mebibyte, Math.max(4 * mebibyte, totalBytes / 100)) / linkBytes);
}

/** The links take a little more than their targets. */
function takenBy(links: number): number {
  return links * linkBytes * 1.5;
}

/** The space of a store; a reserve that was given up counts as missing until it is there again. */
export async function readStoreSpace(store: Store, startPercent: number): Promise<Space> {
  const there = await readdir(metadataReserve(store)).catch(() => undefined);
  if (there === undefined) return await readSpace(store.root, startPercent);
  const { totalBytes } = await freeSpace(store.root);
  const missing = Math.max(0, metadataReserveLinks(totalBytes) - there.length);
  return await readSpace(store.root, startPercent, { owedMetadataBytes: takenBy(missing) });
}

/** Makes the reserves when they are missing and there is room for them. */
export async function keepReserve(store: Store, space: Space, log: Log): Promise<void> {
  try {
    // Metadata first: whatever is written next may take a chunk that has just become free, and data take it as well.
    await keepMetadataReserve(metadataReserve(store), space);
    await keepDataReserve(dataReserve(store), space);
  } catch (error) {
    // It is only there for a day that is worse than this one.
    log.info(`no reserve for a full disk could be made: ${reasonOf(error)}`);
  }
}

async function keepDataReserve(path: string, space: Space): Promise<void> {
  const size = dataReserveBytes(space.totalBytes);
  try {
    if ((await lstat(path)).size === size) return;
    await unlink(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  if (space.freeBytes >= 4 * size) await run(['fallocate', '--length', String(size), '--', path]);
}

async function keepMetadataReserve(path: string, space: Space): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const links = metadataReserveLinks(space.totalBytes);
  const there = (await readdir(path)).length;
  // What is missing counts as owed, so that there is room for it when metadata are not short.
  if (there >= links || space.metadataShort) return;
  const target = 'x'.repeat(linkBytes);
  for (let link = there; link < links; link += 1) await symlink(target, join(path, String(link)));
}

/** Gives the reserves up; true when there was something to give. */
async function giveUpReserve(store: Store, log: Log): Promise<boolean> {
  const gone = await unlink(dataReserve(store)).then(
    () => true,
    (error: unknown) => {
      if (!isMissing(error)) log.warn(`the reserve cannot be given up: ${reasonOf(error)}`);
      return false;
    },
  );
  const directory = metadataReserve(store);
  const links = await readdir(directory).catch(() => []);
  for (const link of links) await unlink(join(directory, link));
  if (!gone && links.length === 0) return false;
  log.step('the reserve for a full disk is given up; it is made again when there is room');
  await syncFileSystem(store.root);
  return true;
}

/**
 * Does something that needs a little room on a disk that may have none: when it fails for that, what is in memory is
 * written, then the reserve is given up, then empty and nearly empty data chunks are freed for metadata.
 */
export async function withLastReserves<T>(store: Store, log: Log, act: () => Promise<T>): Promise<T> {
  const ways: { name: string; go: () => Promise<unknown> }[] = [
    { name: 'writing what is in memory', go: () => syncFileSystem(store.root) },
    { name: 'giving up the reserve', go: () => giveUpReserve(store, log) },
    { name: 'freeing empty data chunks', go: () => balanceData(store.root, 0, 16) },
    { name: 'freeing nearly empty data chunks', go: () => balanceData(store.root, 10, 4) },
  ];
  for (const way of ways) {
    try {
      return await act();
    } catch (error) {
      if (!isOutOfSpace(error)) throw error;
      log.warn(`no space is left even to delete; ${way.name}`);
      await way.go().catch((reason: unknown) => log.warn(`${way.name} failed: ${reasonOf(reason)}`));
    }
  }
  return await act();
}

/** Data chunks fuller than this are too much work for what they give. */
const balanceSteps = [5, 30, 60, 80, 90] as const;

/**
 * Makes room for metadata by moving half-empty data chunks together, a few at a time, until `enough` says so.
 * Deleting snapshots empties data chunks without giving them back.
 */
export async function freeDataChunks(store: Store, log: Log, enough: () => Promise<boolean>): Promise<boolean> {
  for (const usagePercent of balanceSteps) {
    log.step(`moving data chunks that are at most ${usagePercent} % full together, for room for metadata`);
    let moved = await balanceData(store.root, usagePercent, 8);
    if (!moved && (await giveUpReserve(store, log))) moved = await balanceData(store.root, usagePercent, 8);
    if (!moved) log.info('btrfs could not move them for want of room');
    if (await enough()) return true;
  }
  return false;
}
