import { lstat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../errors.ts';
import { syncFileSystem } from '../../system/btrfs.ts';
import { balanceData } from '../../system/btrfs-changes.ts';
import { isMissing } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { ProgramError, run } from '../../system/run.ts';
import type { Store } from '../store.ts';

const mebibyte = 1024 * 1024;

/** A file of nothing that is given up when there is no room left even to delete. */
function reserveFile(store: Store): string {
  return join(store.stateDir, 'reserve');
}

/** Half a percent of the store, from 4 MiB to 1 GiB. */
function reserveSize(totalBytes: number): number {
  return Math.round(Math.min(1024 * mebibyte, Math.max(4 * mebibyte, totalBytes / 200)));
}

/** Makes the reserve when it is missing and there is room for it. */
export async function keepReserve(
  store: Store,
  space: { totalBytes: number; freeBytes: number },
  log: Log,
): Promise<void> {
  const path = reserveFile(store);
  const size = reserveSize(space.totalBytes);
  try {
    if ((await lstat(path)).size === size) return;
    await unlink(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  if (space.freeBytes < 4 * size) return;
  try {
    await run(['fallocate', '--length', String(size), '--', path]);
  } catch (error) {
    log.info(`no reserve for a full disk could be made: ${reasonOf(error)}`);
  }
}

/** Gives the reserve up; true when there was one. */
async function giveUpReserve(store: Store): Promise<boolean> {
  try {
    await unlink(reserveFile(store));
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  await syncFileSystem(store.root);
  return true;
}

/** True for a program that failed because nothing could be written any more. */
export function isOutOfSpace(error: unknown): boolean {
  if (error instanceof ProgramError) return /No space left on device|Disk quota exceeded/.test(error.stderr);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/**
 * Does something that needs a little room on a disk that may have none: when it fails for that, what is in memory is
 * written, then the reserve is given up, then empty and nearly empty data chunks are freed for metadata.
 */
export async function withLastReserves<T>(store: Store, log: Log, act: () => Promise<T>): Promise<T> {
  const ways: { name: string; go: () => Promise<unknown> }[] = [
    { name: 'writing what is in memory', go: () => syncFileSystem(store.root) },
    { name: 'giving up the reserve', go: () => giveUpReserve(store) },
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
const balanceSteps = [5, 20, 40, 60] as const;

/**
 * Makes room for metadata by moving half-empty data chunks together, a few at a time, until `enough` says so.
 * Deleting snapshots empties data chunks without giving them back.
 */
export async function freeDataChunks(store: Store, log: Log, enough: () => Promise<boolean>): Promise<boolean> {
  for (const usagePercent of balanceSteps) {
    log.step(`moving data chunks that are at most ${usagePercent} % full together, for room for metadata`);
    if (!(await balanceData(store.root, usagePercent, 8))) log.info('btrfs could not move them');
    if (await enough()) return true;
  }
  return false;
}
