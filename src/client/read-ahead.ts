import { closeSync, openSync, read, readSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { parentOf } from '../catalogue/record.ts';
import { openFlags, openPlainly, within } from './plain-way.ts';

/** Read at once: as many as Node has threads for, and keep a disk without moving parts at work; one that seeks puts them in order. */
const readers = 4;
const pieceBytes = 128 * 1024;
/** From the cache a piece comes in 10 to 25 µs, from a disk in 80 at the very least. */
const fromCacheMs = 0.05;
/** Of each directory, until enough of the last ones came from the disk: one alone may be empty, or somebody else have had the processor. */
const mostTried = 3;
const enoughFromDisk = 2;

/**
 * Reads files into the kernel's cache, several at once. rsync reads one after the other, and waits for the disk at each: 130 µs a
 * file on a virtual disk, longer than all else that it does with it. Nothing depends on it: what cannot be read costs only time.
 * As long as the first files of each directory are in the cache already, the others are taken to be there, too.
 * @param files absolute, as byte strings, sorted
 * @param root put before a path, it leads to where the tree is looked at; see MountSpace
 */
export async function readAhead(
  files: readonly string[],
  signal: AbortSignal,
  isFromDisk: (path: Buffer) => boolean = comesFromDisk,
  root = '',
): Promise<void> {
  let fromDisk = false;
  let last: boolean[] = [];
  const isEnough = (path: Buffer) => {
    last = [...last, isFromDisk(path)].slice(-mostTried);
    return last.filter(Boolean).length >= enoughFromDisk;
  };
  for (let from = 0; from < files.length && !signal.aborted; ) {
    const directory = parentOf(files[from] ?? '');
    let to = from;
    while (to < files.length && parentOf(files[to] ?? '') === directory) to += 1;
    const handle = openPlainly(directory, root);
    if (handle !== undefined) {
      try {
        const prefix = directory === '/' ? 1 : directory.length + 1;
        const paths = (end: number) => files.slice(from, end).map((file) => within(handle, file.slice(prefix)));
        // Once is enough to know: whoever waits here for a disk that seeks lets the whole run wait.
        fromDisk ||= paths(Math.min(to, from + mostTried)).some(isEnough);
        if (fromDisk) await readAll(paths(to), signal);
        else await turn();
      } finally {
        closeSync(handle);
      }
    }
    from = to;
  }
}

/** The first use of memory takes longer than a read. */
const tried = Buffer.alloc(pieceBytes);

function comesFromDisk(path: Buffer): boolean {
  const file = openFile(path);
  if (file === undefined) return false;
  const begun = performance.now();
  try {
    readSync(file, tried);
  } catch {
    // It cannot be read; rsync will say so.
  } finally {
    closeSync(file);
  }
  return performance.now() - begun > fromCacheMs;
}

async function readAll(paths: readonly Buffer[], signal: AbortSignal): Promise<void> {
  let next = 0;
  const reader = async () => {
    const piece = Buffer.allocUnsafe(pieceBytes);
    for (let path = paths[next]; path !== undefined && !signal.aborted; path = paths[next]) {
      next += 1;
      const file = openFile(path);
      if (file !== undefined) await new Promise<void>((done) => readOne(file, piece, done));
    }
  };
  await Promise.all(Array.from({ length: readers }, reader));
}

function openFile(path: Buffer): number | undefined {
  try {
    return openSync(path, openFlags);
  } catch {
    // It is gone, or is a link now.
    return undefined;
  }
}

/**
 * Only the reading waits for the disk, and only that goes to another thread: find has been at the names already, and each hand-over
 * costs as much as all the rest.
 */
function readOne(file: number, piece: Buffer, done: () => void): void {
  read(file, piece, 0, piece.length, null, (failure, length) => {
    if (failure === null && length === piece.length) {
      readOne(file, piece, done);
    } else {
      closeSync(file);
      done();
    }
  });
}
