import { totalmem } from 'node:os';
import { BytebackError } from '../../errors.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';

/** What stays free whatever a client sends: 1 GB, or 5 % of a small store. In bytes. */
export function reserveBytes(totalBytes: number): number {
  return Math.min(1_000_000_000, Math.floor(totalBytes * 0.05));
}

/** Free space above the reserve, in bytes; negative when the reserve is used. */
export async function roomBytes(path: string): Promise<number> {
  const first = await freeSpace(path);
  const room = first.freeBytes - reserveBytes(first.totalBytes);
  // statfs does not know what is only in memory yet. That cannot be more than the kernel lets pile up, a part of the
  // memory; with more room than that the answer is the same, and writing all out would only slow everybody down.
  if (room > totalmem() / 2) return room;
  await syncFileSystem(path);
  const second = await freeSpace(path);
  return second.freeBytes - reserveBytes(second.totalBytes);
}

/** The failure of a store that has no room. `wantedBytes` is what the client announced, if it did. */
export function storeFull(roomLeftBytes: number, wantedBytes?: number, whyNoMore?: string): BytebackError {
  const room = `${Math.max(0, roomLeftBytes)} bytes are left above the reserve`;
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
