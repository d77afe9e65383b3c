import { totalmem } from 'node:os';
import { BytebackError } from '../../errors.ts';
import { allocationOf } from '../../system/btrfs/allocation.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';

/** What stays free whatever a client sends: 1 GB, or 5 % of a small store. In bytes. */
export function reserveBytes(totalBytes: number): number {
  return Math.min(1_000_000_000, Math.floor(totalBytes * 0.05));
}

/** Room above what must stay free. */
export interface Room {
  /** Negative when what must stay free is used. */
  readonly bytes: number;
  /** What is scarcer. */
  readonly of: 'data' | 'metadata';
}

/** The scarcer room, and both as far as they are known. */
export interface Glance extends Room {
  readonly each: readonly Room[];
  /** False where the kernel does not show what is only in memory. */
  readonly isExact: boolean;
}

function scarcer(each: readonly Room[]): Room & { readonly each: readonly Room[] } {
  const { bytes, of } = each.reduce((least, room) => (room.bytes < least.bytes ? room : least));
  return { bytes, of, each };
}

const mebibyte = 1024 * 1024;

/**
 * What stays free of metadata, for root's own records and the sessions of others, in bytes: half of that below which pruning begins to
 * make room for them.
 */
export function metadataReserveBytes(couldHaveBytes: number): number {
  return Math.max(couldHaveBytes * 0.025, Math.min(16 * mebibyte, couldHaveBytes / 10));
}

/**
 * The room of a store at a glance: what is only in memory counts as taken, and as more than it will be once it is compressed. For the
 * exact figure all of it must be on the disk (`roomOf`).
 */
export async function glanceAtRoom(path: string): Promise<Glance> {
  const [{ freeBytes, totalBytes }, allocation] = await Promise.all([freeSpace(path), allocationOf(path)]);
  const reserve = reserveBytes(totalBytes);
  // statfs does not know what is only in memory yet.
  if (allocation === undefined) return { ...scarcer([{ bytes: freeBytes - reserve, of: 'data' }]), isExact: false };
  const data = Math.min(freeBytes, allocation.dataRoomBytes) - reserve;
  const metadata = allocation.metadataRoomBytes - metadataReserveBytes(allocation.metadataCouldHaveBytes);
  const both: Room[] = [
    { bytes: data, of: 'data' },
    { bytes: metadata, of: 'metadata' },
  ];
  return { ...scarcer(both), isExact: true };
}

/** The room of a store, exactly when it is short. */
export async function roomOf(path: string): Promise<Room> {
  const first = await glanceAtRoom(path);
  // What is only in memory cannot be more than the kernel lets pile up, a part of the memory; with more room than that the
  // answer is the same, and writing all out would only slow everybody down.
  return first.bytes > (first.isExact ? 0 : totalmem() / 2) ? first : exactRoomOf(path);
}

/** The room when all that is in memory has been written out. */
export async function exactRoomOf(path: string): Promise<Glance> {
  await syncFileSystem(path);
  return glanceAtRoom(path);
}

/** The failure of a store that has no room. `wantedBytes` is what the client announced, if it did. */
export function storeFull({ bytes, of }: Room, wantedBytes?: number, whyNoMore?: string): BytebackError {
  const left = `${Math.floor(Math.abs(bytes))} bytes`;
  const what = of === 'data' ? '' : ' of its metadata';
  const above = bytes < 0 ? `${left} of the reserve${what} are used` : `${left}${what} are left above the reserve`;
  const room = of === 'data' ? above : `${above}; many small files fill them`;
  return new BytebackError('storeFull', {
    what: 'the store is full',
    why: [
      ...(wantedBytes === undefined ? [] : [`${wantedBytes} bytes are announced`]),
      room,
      ...(whyNoMore === undefined ? [] : [whyNoMore]),
    ].join('; '),
    fix: 'on the server, look at who holds the space: byteback status, byteback-prune --dry-run --free 10%; or enlarge the store',
  });
}
