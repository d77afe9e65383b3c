import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { run } from './run.ts';

/** What stands on a block device or in an image file, as its first bytes say. */
export interface Signature {
  /** Kind of file system or other content: `btrfs`, `ext4`, `crypto_LUKS`, `LVM2_member`, `swap`. */
  readonly type?: string;
  /** Kind of partition table: `gpt`, `dos`. */
  readonly partitionTable?: string;
  readonly uuid?: string;
}

/** The values of `blkid --output export`. */
export function parseBlkid(output: string): Signature {
  const values = new Map(
    output.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
    }),
  );
  const type = values.get('TYPE');
  const partitionTable = values.get('PTTYPE');
  const uuid = values.get('UUID');
  return {
    ...(type === undefined ? {} : { type }),
    ...(partitionTable === undefined ? {} : { partitionTable }),
    ...(uuid === undefined ? {} : { uuid }),
  };
}

/** Reads the signature itself, not what udev remembers of it. Undefined when there is none that blkid knows. */
export async function readSignature(path: string): Promise<Signature | undefined> {
  // 2: nothing found. 8: several that contradict each other, so something is there.
  const { stdout, exitCode } = await run(['blkid', '--probe', '--output', 'export', '--', path], { accept: [0, 2, 8] });
  if (exitCode === 2) return undefined;
  return exitCode === 8 ? { type: 'more than one kind of content' } : parseBlkid(stdout.toString('utf8'));
}

/** Size of a block device or file in bytes. */
async function sizeOf(file: FileHandle, path: string): Promise<number> {
  const stats = await file.stat();
  if (stats.isFile()) return stats.size;
  const { stdout } = await run(['blockdev', '--getsize64', path]);
  return Number(stdout.toString('utf8').trim());
}

const headLength = 16 * 1024 * 1024;
const sampleLength = 64 * 1024;
const samples = 256;

/**
 * True when everything that is looked at is zero: the first 16 MiB, the last 64 KiB, and 256 places between. It finds
 * what has no signature (encrypted disks, raw databases); a few bytes on an otherwise empty disk it may miss.
 */
export async function looksEmpty(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const size = await sizeOf(file, path);
    const isZero = async (position: number, length: number): Promise<boolean> => {
      const buffer = Buffer.alloc(Math.max(0, Math.min(length, size - position)));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      return buffer.subarray(0, bytesRead).equals(Buffer.alloc(bytesRead));
    };
    for (let at = 0; at < headLength && at < size; at += 1024 * 1024)
      if (!(await isZero(at, 1024 * 1024))) return false;
    for (let sample = 1; sample <= samples; sample += 1) {
      const position = Math.max(0, Math.floor((size * sample) / samples) - sampleLength);
      if (!(await isZero(position, sampleLength))) return false;
    }
    return true;
  } finally {
    await file.close();
  }
}

/** True when the kernel uses a block device: mounted, swap, or part of a RAID, volume group or btrfs. */
export async function isInUse(device: string): Promise<boolean> {
  try {
    // On a block device O_EXCL asks the kernel for sole use; nothing is created.
    const file = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return true;
    throw error;
  }
}

/** Paths of the partitions of a disk; empty for a partition or a disk without any. */
export async function partitionsOf(device: string): Promise<string[]> {
  const { stdout } = await run(['lsblk', '--noheadings', '--raw', '--paths', '--output', 'NAME,TYPE', '--', device]);
  return stdout
    .toString('utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, type]) => type === 'part')
    .map(([path = '']) => path);
}

/** The loop devices that an image file is attached to. */
export async function loopDevicesOf(image: string): Promise<string[]> {
  const { stdout } = await run(['losetup', '--noheadings', '--output', 'NAME', '--associated', image]);
  return stdout
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
}

/** Makes a btrfs over whatever stands there. */
export async function makeBtrfs(path: string): Promise<void> {
  // The second copy of a partition table at the end of a disk would outlive mkfs, and tools would find it.
  await run(['wipefs', '--all', '--quiet', '--', path]);
  await run(['mkfs.btrfs', '--quiet', '--force', '--label', 'byteback', '--', path], { timeoutMs: 600_000 });
}
