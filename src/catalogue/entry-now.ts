import type { BigIntStats } from 'node:fs';
import { statPlace } from '../system/deep-place.ts';
import { isMissing } from '../system/files.ts';
import { type Entry, findTime } from './record.ts';

/** What a path is now, as a record has it; undefined when nothing is there. @param root put before the path (see MountSpace) @throws what lstat throws otherwise. */
export function entryNow(path: string, root: string): Entry | undefined {
  let stats: BigIntStats | undefined;
  try {
    stats = statPlace(Buffer.from(root + path, 'latin1'));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  if (stats === undefined) return undefined;
  return {
    path,
    type: typeOf(stats),
    sizeBytes: Number(stats.size),
    mtime: findTime(stats.mtimeNs),
    ctime: findTime(stats.ctimeNs),
    inode: `${stats.dev}:${stats.ino}`,
    links: Number(stats.nlink),
    rights: `${(Number(stats.mode) & 0o7777).toString(8)} ${stats.uid} ${stats.gid}`,
  };
}

/** find's letter (%y). */
function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'f';
  if (stats.isDirectory()) return 'd';
  if (stats.isSymbolicLink()) return 'l';
  if (stats.isFIFO()) return 'p';
  if (stats.isSocket()) return 's';
  return stats.isBlockDevice() ? 'b' : 'c';
}
