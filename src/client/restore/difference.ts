import type { BigIntStats } from 'node:fs';
import type { ListedEntry, ListedType } from '../../protocol/tree-list.ts';

/** How closely what came is compared with what the snapshot has. */
export interface Closeness {
  /** Owner and mode: only root can give them. */
  readonly rights: boolean;
  /** Others work in the same directories: their times are nobody's promise. */
  readonly directoryTimes: boolean;
}

/** What `lstat` says of a name, in the words of a list. */
export function typeOf(stat: Pick<BigIntStats, 'mode'>): ListedType | undefined {
  return types[Number(stat.mode) & 0o170000];
}

const types: Readonly<Record<number, ListedType>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'link',
  0o010000: 'fifo',
  0o140000: 'socket',
  0o060000: 'block',
  0o020000: 'character',
};

export const typesInWords: Readonly<Record<ListedType, string>> = {
  file: 'a file',
  directory: 'a directory',
  link: 'a link',
  fifo: 'a pipe',
  socket: 'a socket',
  block: 'a block device',
  character: 'a character device',
  unreadable: 'unreadable',
};

/**
 * Why a name is not what the snapshot has; undefined when it is, as far as that can be seen without reading it.
 * @param stat undefined when nothing has that name.
 * @param target what a link here leads to, latin1
 */
export function differenceOf(
  entry: ListedEntry,
  stat: BigIntStats | undefined,
  target: string | undefined,
  { rights, directoryTimes }: Closeness,
): string | undefined {
  if (entry.type === 'unreadable') return 'the server: its disk does not give it';
  if (stat === undefined) return 'it is missing after the restore';
  const type = typeOf(stat);
  if (type !== entry.type) {
    return `it is ${typesInWords[type ?? 'unreadable']}, and ${typesInWords[entry.type]} in the snapshot`;
  }
  const differs: string[] = [];
  if (type === 'file' && Number(stat.size) !== entry.sizeBytes) differs.push('size');
  if (type === 'link' && entry.target !== target) differs.push('target');
  if ((type === 'block' || type === 'character') && entry.device !== '' && entry.device !== deviceOf(stat.rdev))
    differs.push('device');
  if ((type !== 'directory' || directoryTimes) && !isSameTime(entry.mtimeNs, stat.mtimeNs)) differs.push('time');
  if (rights && entry.mode !== null) {
    if (type !== 'link' && Number(stat.mode & 0o7777n) !== entry.mode) differs.push('mode');
    if (Number(stat.uid) !== entry.uid) differs.push('owner');
    if (Number(stat.gid) !== entry.gid) differs.push('group');
  }
  return differs.length === 0 ? undefined : `it differs from the snapshot: ${differs.join(', ')}`;
}

function deviceOf(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major},${minor}`;
}

/** Steps in which file systems count time: FAT, those of the last century, NTFS, and those of microseconds. */
const steps = [2_000_000_000n, 1_000_000_000n, 1000n, 100n];

/** Equal, or as near as a file system that counts in larger steps can keep it. */
function isSameTime(wanted: bigint, found: bigint): boolean {
  return wanted === found || steps.some((step) => found % step === 0n && wanted >= found && wanted - found < step);
}
