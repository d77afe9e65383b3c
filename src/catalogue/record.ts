/**
 * One entry of a catalogue, as find prints it: `PATH \x01 TYPE SIZE MTIME CTIME DEVICE:INODE LINKS MODE UID GID`, ended by NUL. Sorted by
 * its bytes, because \x01 comes before every byte that names hold as a rule. Pure.
 *
 * Paths are byte strings: one character a byte (latin1).
 */

/** Ends the path of a record. A path that holds it itself cannot be put in order. */
export const pathEnd = '\x01';

/** What find is told to print (its -printf). */
export const recordFormat = '%p\\001%y %s %T@ %C@ %D:%i %n %m %U %G\\0';

/** One entry of a tree. */
export interface Entry {
  /** Absolute. */
  readonly path: string;
  /** find's letter: f, d, l, p, s, b, c. */
  readonly type: string;
  readonly sizeBytes: number;
  /** Seconds since 1970 as find writes them, to the nanosecond: only compared, never reckoned with. */
  readonly mtime: string;
  readonly ctime: string;
  /** The number of the device, a colon, the inode: two file systems use the same inodes. See devices.ts for what the number means. */
  readonly inode: string;
  readonly links: number;
  /** Mode, owner and group in one text. */
  readonly rights: string;
}

/** The entry of a record (without its NUL), or undefined when it is none. */
export function parseRecord(record: string): Entry | undefined {
  const end = record.lastIndexOf(pathEnd);
  if (end < 1) return undefined;
  const [type = '', size, mtime = '', ctime = '', inode = '', links, ...rights] = record.slice(end + 1).split(' ');
  if (rights.length !== 3) return undefined;
  return {
    path: record.slice(0, end),
    type,
    sizeBytes: Number(size),
    mtime,
    ctime,
    inode,
    links: Number(links),
    rights: rights.join(' '),
  };
}

/** The record of an entry, without its NUL. */
export function formatRecord(entry: Entry): string {
  const { path, type, sizeBytes, mtime, ctime, inode, links, rights } = entry;
  return `${path}${pathEnd}${type} ${sizeBytes} ${mtime} ${ctime} ${inode} ${links} ${rights}`;
}

/** The directory that a path lies in. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** A time as find writes it (%T@, %C@): whole seconds towards the past, then nanoseconds and a zero. */
export function findTime(ns: bigint): string {
  const billion = 1_000_000_000n;
  const fraction = ((ns % billion) + billion) % billion;
  return `${(ns - fraction) / billion}.${String(fraction).padStart(9, '0')}0`;
}
