/**
 * What the store has at a path, as the server lists it: `PATH \x01 TYPE SIZE MTIME INODE LINKS`, ended by NUL. Pure.
 *
 * Paths are absolute on the client and byte strings: one character a byte (latin1). With --fake-super whatever is no directory is
 * a plain file there.
 */

/** What find is told to print (its -printf), with the store's directory as its only start. */
export const storedFormat = '/%P\\001%y %s %T@ %i %n\\0';

/** One entry of the store. */
export interface Stored {
  readonly path: string;
  /** find's letter; d for a directory. */
  readonly type: string;
  readonly sizeBytes: number;
  /** Seconds since 1970 as find writes them, to the nanosecond, with one digit more. */
  readonly mtime: string;
  readonly inode: string;
  readonly links: number;
}

const pathEnd = '\x01';

/** The entry of a record (without its NUL), or undefined when it is none. */
export function parseStored(record: string): Stored | undefined {
  const end = record.lastIndexOf(pathEnd);
  const [type = '', size, mtime = '', inode = '', links, ...more] = record.slice(end + 1).split(' ');
  if (end < 1 || links === undefined || more.length > 0) return undefined;
  return { path: record.slice(0, end), type, sizeBytes: Number(size), mtime, inode, links: Number(links) };
}

/** The record of an entry, without its NUL. */
export function formatStored({ path, type, sizeBytes, mtime, inode, links }: Stored): string {
  return `${path}${pathEnd}${type} ${sizeBytes} ${mtime} ${inode} ${links}`;
}
