import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { eachRecord } from './compare.ts';
import { type Entry, parseRecord, pathEnd } from './record.ts';

/** Bytes that are read to find a record. */
const windowBytes = 64 * 1024;
/** Bytes that are read at once where all is. */
const pieceBytes = 1024 * 1024;

/**
 * Tells the entries of a file of sorted records whose paths come after a given one, until `visit` says that it is enough.
 * Where they begin is found by halving: nothing before it is read.
 * @returns true when the end was reached
 */
export function entriesAfter(file: string, path: string, visit: (entry: Entry) => boolean): boolean {
  const handle = openSync(file, 'r');
  try {
    let offset = startAfter(handle, `${path}${pathEnd}`);
    let going = true;
    eachRecord(
      () => {
        if (!going) return undefined;
        const piece = Buffer.allocUnsafe(windowBytes);
        const length = readSync(handle, piece, 0, piece.length, offset);
        offset += length;
        return length === 0 ? undefined : piece.subarray(0, length);
      },
      (record) => {
        if (!going) return;
        const entry = parseRecord(record);
        if (entry !== undefined && entry.path > path) going = visit(entry);
      },
    );
    return going;
  } finally {
    closeSync(handle);
  }
}

/** An offset at which a record begins, at or a little before the first one that comes after `key`. */
function startAfter(handle: number, key: string): number {
  let low = 0;
  let high = fstatSync(handle).size;
  while (high - low > windowBytes) {
    const middle = Math.floor((low + high) / 2);
    const found = recordAt(handle, middle);
    if (found !== undefined && found.start < high && found.text < key) low = found.start;
    else high = middle;
  }
  return low;
}

/** The first record that begins after an offset. */
function recordAt(handle: number, offset: number): { start: number; text: string } | undefined {
  const piece = Buffer.allocUnsafe(windowBytes);
  const text = piece.toString('latin1', 0, readSync(handle, piece, 0, piece.length, offset));
  const begin = text.indexOf('\0') + 1;
  if (begin === 0 || begin >= text.length) return undefined;
  const end = text.indexOf('\0', begin);
  return { start: offset + begin, text: text.slice(begin, end < 0 ? undefined : end) };
}

/** The entries of some paths in a file of sorted records, by path. It is read once; only what is asked for is understood. */
export function entriesAt(file: string, paths: Iterable<string>): Map<string, Entry> {
  const keys = [...paths].map((path) => `${path}${pathEnd}`).sort();
  const found = new Map<string, Entry>();
  const handle = openSync(file, 'r');
  try {
    // Each piece begins with the NUL that ends the record before it.
    let bytes: Buffer = Buffer.from([0]);
    for (let at = 0; at < keys.length; ) {
      const piece = Buffer.allocUnsafe(pieceBytes);
      const length = readSync(handle, piece, 0, piece.length, null);
      bytes = Buffer.concat([bytes, piece.subarray(0, length)]);
      const end = length === 0 ? bytes.length : bytes.lastIndexOf(0);
      if (end > 0) {
        const last = length === 0 ? undefined : bytes.toString('latin1', bytes.lastIndexOf(0, end - 1) + 1, end);
        for (let from = 0; at < keys.length && (last === undefined || (keys[at] ?? '') <= last); at += 1) {
          const begin = bytes.indexOf(`\0${keys[at]}`, from, 'latin1');
          if (begin < 0 || begin >= end) continue;
          const recordEnd = bytes.indexOf(0, begin + 1);
          const entry = recordEnd < 0 ? undefined : parseRecord(bytes.toString('latin1', begin + 1, recordEnd));
          if (entry !== undefined) found.set(entry.path, entry);
          from = begin;
        }
        bytes = bytes.subarray(end);
      }
      if (length === 0) break;
    }
  } finally {
    closeSync(handle);
  }
  return found;
}
