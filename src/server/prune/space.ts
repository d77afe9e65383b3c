import { filesystemUsage, freeSpace, syncFileSystem } from '../../system/btrfs.ts';

/** How much room a store has, in bytes. */
export interface Space {
  readonly totalBytes: number;
  /** What counts: room for data, or less when metadata are about to run out. */
  readonly freeBytes: number;
  /** Room for data: what is free in data chunks, and what is given to none yet. */
  readonly dataFreeBytes: number;
  /** Room for metadata, in percent of what metadata have or could have. */
  readonly metadataFreePercent: number;
  readonly unallocatedBytes: number;
}

/**
 * Looks at the space that is really free: what is still in memory is written first, because statfs(2) does not see it.
 * Metadata below `startPercent` make the whole store as short as they are, since without them nothing can be written.
 */
export async function readSpace(root: string, startPercent: number, { sync = true } = {}): Promise<Space> {
  if (sync) await syncFileSystem(root);
  const [{ freeBytes: dataFreeBytes, totalBytes }, usage] = await Promise.all([freeSpace(root), filesystemUsage(root)]);
  const { metadataSizeBytes, metadataUsedBytes, globalReserveBytes, unallocatedBytes } = usage;
  // Metadata are stored twice on one disk.
  const couldHave = metadataSizeBytes + unallocatedBytes / 2;
  const room = Math.max(0, couldHave - metadataUsedBytes - globalReserveBytes);
  const metadataFreePercent = couldHave === 0 ? 100 : (100 * room) / couldHave;
  const short = metadataFreePercent < startPercent;
  return {
    totalBytes,
    dataFreeBytes,
    metadataFreePercent,
    unallocatedBytes,
    freeBytes: short ? Math.min(dataFreeBytes, (totalBytes * metadataFreePercent) / 100) : dataFreeBytes,
  };
}
