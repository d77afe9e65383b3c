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
  /** The same in bytes. */
  readonly metadataRoomBytes: number;
  /** With less room than this metadata are short. */
  readonly metadataEnoughBytes: number;
  /** True when metadata are about to run out, which stops everything though there may be room for data. */
  readonly metadataShort: boolean;
  readonly unallocatedBytes: number;
}

/** Every change of a file sets some metadata room aside until it is written, whatever the size of the store. */
const leastMetadataBytes = 32 * 1024 * 1024;

/**
 * Looks at the space that is really free: what is still in memory is written first, because statfs(2) does not see it.
 * Metadata below `startPercent` make the whole store as short as they are, since without them nothing can be written.
 * @param owedMetadataBytes room that metadata should have besides: a reserve that was given up and must be made again.
 */
export async function readSpace(
  root: string,
  startPercent: number,
  { sync = true, owedMetadataBytes = 0 } = {},
): Promise<Space> {
  if (sync) await syncFileSystem(root);
  const [{ freeBytes: dataFreeBytes, totalBytes }, usage] = await Promise.all([freeSpace(root), filesystemUsage(root)]);
  const { metadataSizeBytes, metadataUsedBytes, globalReserveBytes, unallocatedBytes } = usage;
  // Metadata are stored twice on one disk.
  const couldHave = metadataSizeBytes + unallocatedBytes / 2;
  const metadataRoomBytes = Math.max(0, couldHave - metadataUsedBytes - globalReserveBytes);
  const least = Math.max((couldHave * startPercent) / 100, Math.min(leastMetadataBytes, couldHave / 5));
  const metadataEnoughBytes = least + owedMetadataBytes;
  const metadataShort = metadataRoomBytes < metadataEnoughBytes;
  const asShort = (((totalBytes * startPercent) / 100) * metadataRoomBytes) / metadataEnoughBytes;
  return {
    totalBytes,
    dataFreeBytes,
    metadataFreePercent: couldHave === 0 ? 100 : (100 * metadataRoomBytes) / couldHave,
    metadataRoomBytes,
    metadataEnoughBytes,
    metadataShort,
    unallocatedBytes,
    freeBytes: metadataShort ? Math.min(dataFreeBytes, asShort) : dataFreeBytes,
  };
}
