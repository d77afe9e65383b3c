import { join } from 'node:path';
import { reasonOf } from '../errors.ts';
import type { Log } from '../system/log.ts';
import { start } from '../system/run.ts';
import { contentsOf, writeList } from './send-changes.ts';

/** Read at once: as many as keep a disk without moving parts at work; one that seeks puts them in order. */
const readers = 4;

/** Larger files are read in order by whoever reads them, and the kernel reads ahead of him; in find's blocks of 512 bytes. */
const smallBlocks = 2048;

/**
 * Has the small files of some directories read into the kernel's cache, several at once. rsync reads one after the other, and
 * waits for the disk at each: 130 µs a file on a virtual disk, longer than all else that it does with it. Nothing depends
 * on it: what fails, or comes too late, costs only time.
 * @param directories absolute, as byte strings
 */
export async function readAhead(
  directories: readonly string[],
  { workDirectory, signal, log }: { workDirectory: string; signal: AbortSignal; log: Log },
): Promise<void> {
  const read = async (reader: number) => {
    const own = directories.filter((_, index) => index % readers === reader).map((path) => `/${contentsOf(path)}`);
    if (own.length === 0) return;
    const listFile = await writeList(join(workDirectory, `read-ahead-${reader}`), own);
    const small = ['-maxdepth', '1', '-type', 'f', '-size', `-${smallBlocks}`];
    const find = start(['find', '-files0-from', listFile, ...small, '-exec', 'cat', '{}', '+'], {
      stdout: 'ignore',
      stderr: 'ignore',
      signal,
    });
    await find.ended;
  };
  try {
    await Promise.all(Array.from({ length: readers }, (_, reader) => read(reader)));
  } catch (error) {
    log.debug(`nothing is read ahead: ${reasonOf(error)}`);
  }
}
