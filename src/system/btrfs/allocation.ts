import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseMountinfo } from '../mountinfo.ts';

/**
 * What btrfs has given out and what is left of it, by the kernel's own figures (sysfs; kernel: fs/btrfs/sysfs.c). Everybody may read
 * them, no name is in them, and they cost nothing. What is only in memory yet is counted as it was reserved: not less than it will take.
 */
export interface Allocation {
  /** Room for content: what is free in data chunks, and what is given to none yet. Bytes. */
  readonly dataRoomBytes: number;
  /** Room for metadata, the global reserve apart; every copy counted. Bytes. */
  readonly metadataRoomBytes: number;
  /** What metadata have or could have. Bytes. */
  readonly metadataCouldHaveBytes: number;
}

const sysfs = '/sys/fs/btrfs';
const sectorBytes = 512;

/** The directory of a mounted btrfs in sysfs, by a path in it; undefined where sysfs does not show it. */
async function directoryOf(path: string): Promise<string | undefined> {
  const real = await realpath(path);
  const above = parseMountinfo(await readFile('/proc/self/mountinfo', 'latin1')).filter(
    (mount) => real === mount.path || real.startsWith(mount.path === '/' ? '/' : `${mount.path}/`),
  );
  // Of mounts at the same place the last is seen; of several on the way, the deepest.
  const mount = above.reduce(
    (best, one) => (one.path.length >= best.path.length ? one : best),
    above[0] as (typeof above)[0],
  );
  if (mount?.type !== 'btrfs') return undefined;
  const device = basename(await realpath(mount.source));
  for (const name of await readdir(sysfs).catch((): string[] => [])) {
    const devices = await readdir(join(sysfs, name, 'devices')).catch((): string[] => []);
    if (devices.includes(device)) return join(sysfs, name);
  }
  return undefined;
}

const known = new Map<string, Promise<string | undefined>>();

/** The figures of the btrfs that a path lies on; undefined where the kernel does not show them. */
export async function allocationOf(path: string): Promise<Allocation | undefined> {
  const directory = known.get(path) ?? directoryOf(path);
  known.set(path, directory);
  const place = await directory.catch(() => undefined);
  if (place === undefined) return undefined;
  try {
    return await readAllocation(place);
  } catch {
    // A kernel that shows less, or a file system that is gone: the caller goes by statfs.
    known.delete(path);
    return undefined;
  }
}

async function readAllocation(place: string): Promise<Allocation> {
  const figure = async (...names: string[]) => {
    const value = Number((await readFile(join(place, ...names), 'utf8')).trim());
    if (!Number.isSafeInteger(value) || value < 0) throw new Error(`no figure in ${names.join('/')}`);
    return value;
  };
  const groupOf = async (kind: string) => {
    const [total, used, mayUse, pinned, reserved, readOnly, disk] = await Promise.all(
      [
        'total_bytes',
        'bytes_used',
        'bytes_may_use',
        'bytes_pinned',
        'bytes_reserved',
        'bytes_readonly',
        'disk_total',
      ].map((name) => figure('allocation', kind, name)),
    );
    const taken = (used ?? 0) + (mayUse ?? 0) + (pinned ?? 0) + (reserved ?? 0) + (readOnly ?? 0);
    return { totalBytes: total ?? 0, freeBytes: (total ?? 0) - taken, diskBytes: disk ?? 0 };
  };
  const kinds = await readdir(join(place, 'allocation'));
  const devices = await readdir(join(place, 'devices'));
  const sizes = await Promise.all(devices.map((device) => figure('devices', device, 'size')));
  const deviceBytes = sizes.reduce((sum, sectors) => sum + sectors * sectorBytes, 0);
  const system = await groupOf('system');
  // File systems below 1 GiB may have chunks for both.
  if (kinds.includes('mixed')) {
    const mixed = await groupOf('mixed');
    const room = mixed.freeBytes + Math.max(0, deviceBytes - mixed.diskBytes - system.diskBytes);
    return { dataRoomBytes: room, metadataRoomBytes: room, metadataCouldHaveBytes: mixed.totalBytes };
  }
  const [data, metadata] = await Promise.all([groupOf('data'), groupOf('metadata')]);
  const unallocated = Math.max(0, deviceBytes - data.diskBytes - metadata.diskBytes - system.diskBytes);
  const copies = (group: typeof data) => Math.max(1, group.totalBytes === 0 ? 1 : group.diskBytes / group.totalBytes);
  return {
    dataRoomBytes: data.freeBytes + unallocated / copies(data),
    metadataRoomBytes: metadata.freeBytes + unallocated / copies(metadata),
    metadataCouldHaveBytes: metadata.totalBytes + unallocated / copies(metadata),
  };
}
