import { constants } from 'node:fs';
import { lstat, open, statfs } from 'node:fs/promises';
import { BytebackError } from '../errors.ts';
import { subvolumeInode } from './btrfs/subvolumes.ts';
import { ProgramError, run } from './run.ts';

/** Magic number of btrfs in statfs(2). */
export const btrfsMagic = 0x9123683e;

/** True when a path lies on btrfs, as the kernel says it. Throws when the path does not exist. */
export async function isBtrfs(path: string): Promise<boolean> {
  return (await statfs(path)).type === btrfsMagic;
}

/** @throws BytebackError notBtrfs when the path is not on btrfs. */
export async function requireBtrfs(path: string): Promise<void> {
  if (await isBtrfs(path)) return;
  throw new BytebackError('notBtrfs', {
    what: `${path} is not on a btrfs file system`,
    why: 'snapshots need btrfs, and the kernel says that another file system is there',
    fix: `mount the store's btrfs at ${path}, or set one up with: byteback-setup-server --store ${path} --image FILE --size SIZE`,
  });
}

/** True when the path itself (not what a link there points to) is the top of a btrfs subvolume that belongs to root. */
export async function isRootsSubvolume(path: string): Promise<boolean> {
  const stat = await lstat(path);
  return stat.isDirectory() && stat.uid === 0 && stat.ino === subvolumeInode && (await isBtrfs(path));
}

/** True when a subvolume is read-only by its own property, whatever its directory's mode says. */
export async function isReadOnlySubvolume(path: string): Promise<boolean> {
  const { stdout } = await run(['btrfs', 'property', 'get', '-ts', path, 'ro']);
  return stdout.toString('utf8').trim() === 'ro=true';
}

/** Makes an empty subvolume; the path must not exist. */
export async function createSubvolume(path: string): Promise<void> {
  await refuseExisting(path);
  await run(['btrfs', 'subvolume', 'create', '--', path]);
}

/**
 * Makes a read-only snapshot; the target must not exist: `btrfs subvolume snapshot` would nest the new one inside
 * a directory that stands there.
 */
export async function createReadOnlySnapshot(source: string, target: string): Promise<void> {
  await refuseExisting(target);
  // It writes back all that is dirty in the source first, which on a slow disk takes minutes.
  await run(['btrfs', 'subvolume', 'snapshot', '-r', '--', source, target], { timeoutMs: 3_600_000 });
}

/** The same, writable: what is written to it later is not in the source. */
export async function createWritableSnapshot(source: string, target: string): Promise<void> {
  await refuseExisting(target);
  await run(['btrfs', 'subvolume', 'snapshot', '--', source, target], { timeoutMs: 3_600_000 });
}

async function refuseExisting(path: string): Promise<void> {
  const there = await lstat(path).then(
    () => true,
    () => false,
  );
  if (there)
    throw new BytebackError('refused', {
      what: `${path} exists already`,
      why: 'a subvolume is never made over something',
    });
}

/**
 * Deletes a subvolume or snapshot; the transaction is committed before this returns, so that it stays deleted after
 * a power cut. The space comes back later: see waitForDeleted.
 */
export async function deleteSubvolume(path: string): Promise<void> {
  await run(['btrfs', 'subvolume', 'delete', '--commit-after', '--', path], { timeoutMs: 600_000 });
}

/** Waits until the space of all deleted subvolumes is really free, or the time is over: false then. */
export async function waitForDeleted(path: string, timeoutMs: number): Promise<boolean> {
  try {
    await run(['btrfs', 'subvolume', 'sync', '-s', '1', '--', path], { timeoutMs });
    return true;
  } catch (error) {
    if (error instanceof ProgramError && error.exitCodeOfProgram === undefined && !error.notFound) return false;
    throw error;
  }
}

/** Writes everything that is in memory to the disk, so that the free space is the real one. Needs no root. */
export async function syncFileSystem(path: string, timeoutMs = 600_000): Promise<void> {
  await run(['sync', '--file-system', '--', path], { timeoutMs });
}

/** How full a btrfs is, in bytes, from `btrfs filesystem usage -b` (6.x). */
export interface BtrfsUsage {
  readonly deviceSizeBytes: number;
  /** Not yet given to data or metadata. */
  readonly unallocatedBytes: number;
  readonly usedBytes: number;
  /** What can still be written, as btrfs estimates it. */
  readonly freeBytes: number;
  /** The same, when what is unallocated had to be stored in the costliest profile. */
  readonly freeMinBytes: number;
  readonly metadataSizeBytes: number;
  readonly metadataUsedBytes: number;
  readonly globalReserveBytes: number;
}

/** Needs root: without it btrfs shows only a part. */
export async function filesystemUsage(path: string): Promise<BtrfsUsage> {
  const { stdout } = await run(['btrfs', 'filesystem', 'usage', '-b', '--', path]);
  return parseUsage(stdout.toString('utf8'));
}

/** @throws BytebackError bug when a figure is missing. */
export function parseUsage(output: string): BtrfsUsage {
  const figure = (pattern: RegExp, name: string): number => {
    const value = pattern.exec(output)?.[1];
    if (value === undefined) {
      throw new BytebackError('bug', {
        what: 'cannot read the output of btrfs filesystem usage',
        why: `no figure for ${name} in it`,
      });
    }
    return Number(value);
  };
  // Mixed block groups (file systems below 1 GiB) share one line for data and metadata.
  const metadata = /^(?:Metadata|Data\+Metadata),[^:]*: ?Size:(\d+), Used:(\d+)/gm;
  let metadataSizeBytes = 0;
  let metadataUsedBytes = 0;
  for (const match of output.matchAll(metadata)) {
    metadataSizeBytes += Number(match[1]);
    metadataUsedBytes += Number(match[2]);
  }
  return {
    deviceSizeBytes: figure(/^\s+Device size:\s+(\d+)/m, 'the device'),
    unallocatedBytes: figure(/^\s+Device unallocated:\s+(\d+)/m, 'what is unallocated'),
    usedBytes: figure(/^\s+Used:\s+(\d+)/m, 'what is used'),
    freeBytes: figure(/^\s+Free \(estimated\):\s+(\d+)/m, 'what is free'),
    freeMinBytes: figure(/^\s+Free \(estimated\):\s+\d+\s+\(min: (\d+)\)/m, 'what is free at least'),
    metadataSizeBytes,
    metadataUsedBytes,
    globalReserveBytes: figure(/^\s+Global reserve:\s+(\d+)/m, 'the global reserve'),
  };
}

/** Free space for an ordinary writer, in bytes, as statfs(2) says it: blind to what is still only in memory. */
export async function freeSpace(path: string): Promise<{ freeBytes: number; totalBytes: number }> {
  const figures = await statfs(path);
  return { freeBytes: figures.bavail * figures.bsize, totalBytes: figures.blocks * figures.bsize };
}

/** Makes what a directory's subvolume holds durable, names included. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
