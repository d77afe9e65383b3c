import { closeSync, constants, openSync, read } from 'node:fs';
import { parentOf } from '../catalogue/record.ts';

/** Read at once: as many as Node has threads for, and keep a disk without moving parts at work; one that seeks puts them in order. */
const readers = 4;
const pieceBytes = 128 * 1024;
/** No link is followed, and nothing waits: what stands there now may be something else than it was. */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Reads files into the kernel's cache, several at once. rsync reads one after the other, and waits for the disk at each: 130 µs a
 * file on a virtual disk, longer than all else that it does with it. Nothing depends on it: what cannot be read costs only time.
 * @param files absolute, as byte strings, sorted
 */
export async function readAhead(files: readonly string[], signal: AbortSignal): Promise<void> {
  for (let from = 0; from < files.length && !signal.aborted; ) {
    const directory = parentOf(files[from] ?? '');
    let to = from;
    while (to < files.length && parentOf(files[to] ?? '') === directory) to += 1;
    await readFilesOf(directory, files.slice(from, to), signal);
    from = to;
  }
}

async function readFilesOf(directory: string, files: readonly string[], signal: AbortSignal): Promise<void> {
  const handle = openDirectory(directory);
  if (handle === undefined) return;
  const prefix = directory === '/' ? 1 : directory.length + 1;
  let next = 0;
  const reader = async () => {
    const piece = Buffer.allocUnsafe(pieceBytes);
    while (next < files.length && !signal.aborted) {
      const name = files[next]?.slice(prefix) ?? '';
      next += 1;
      await new Promise<void>((done) => readOne(within(handle, name), piece, done));
    }
  };
  try {
    await Promise.all(Array.from({ length: readers }, reader));
  } finally {
    closeSync(handle);
  }
}

/** Opens a directory step by step, so that no link on the way leads elsewhere; undefined where that cannot be. */
function openDirectory(path: string): number | undefined {
  let handle: number | undefined;
  try {
    handle = openSync('/', flags);
    for (const name of path.split('/').filter(Boolean)) {
      const inner = openSync(within(handle, name), flags | constants.O_DIRECTORY);
      closeSync(handle);
      handle = inner;
    }
    return handle;
  } catch {
    // It is gone, or is a link now.
    if (handle !== undefined) closeSync(handle);
    return undefined;
  }
}

/** A name in an open directory (proc_pid_fd(5)). */
function within(directory: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${directory}/${name}`, 'latin1');
}

/**
 * Only the reading waits for the disk, and only that goes to another thread: find has been at the names already, and each hand-over
 * costs as much as all the rest.
 */
function readOne(path: Buffer, piece: Buffer, done: () => void): void {
  let file: number;
  try {
    file = openSync(path, flags);
  } catch {
    // It is gone, or is a link now.
    done();
    return;
  }
  const go = () =>
    read(file, piece, 0, piece.length, null, (failure, length) => {
      if (failure === null && length === piece.length) {
        go();
      } else {
        closeSync(file);
        done();
      }
    });
  go();
}
