import { closeSync, openSync, readSync } from 'node:fs';
import type { KeptPlace } from './kept.ts';
import { parentOf, pathEnd } from './record.ts';
import type { Scan } from './scan.ts';
import type { Taken } from './taken.ts';

/**
 * What of a tree no run can carry. It is named, what the store has of it is kept, and everything else is in the snapshot: one object must
 * never stop a run.
 */

/** The kernel takes no longer path in one call (PATH_MAX less the NUL), and rsync none at all. */
export const longestPathBytes = 4095;

/** rsync reads holes as zeros, on both sides, a GiB in some seconds: what would take an hour and more is left out. */
export const mostHoleBytes = 1024 ** 4;

/**
 * Finds it. Of a path that is too long it is the directory in which the names begin that cannot be told to rsync: where one such name
 * comes up, rsync gives up all deletions of its walk.
 * @param taken what counts; undefined where only rsync knows
 */
export function findRefused({ file, sparse }: Pick<Scan, 'file' | 'sparse'>, taken: Taken | undefined): KeptPlace[] {
  const counts = (path: string, isDirectory: boolean) => taken?.(path, isDirectory) ?? true;
  const directories = new Set<string>();
  for (const path of longPaths(file)) directories.add(lastNameable(path));
  const tooDeep = [...directories]
    .filter((path) => counts(path, true))
    .map((path): KeptPlace => ({ path, extent: 'contents', why: pathTooLong }));
  const tooHollow = [...sparse]
    .filter(
      ([path, { sizeBytes, allocatedBytes }]) =>
        sizeBytes - allocatedBytes > mostHoleBytes && path.length <= longestPathBytes && counts(path, false),
    )
    .map(([path, { sizeBytes, allocatedBytes }]): KeptPlace => {
      const why = `it has ${gib(sizeBytes - allocatedBytes)} GiB of holes around ${gib(allocatedBytes)} GiB of content, and rsync would read all of it`;
      return { path, extent: 'whole', why };
    });
  return [...tooDeep, ...tooHollow];
}

const pathTooLong = `a path in it is longer than ${longestPathBytes} bytes, which rsync does not take: nothing in this directory is copied`;

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toLocaleString('en-US', { maximumFractionDigits: 1 });
}

/** The directory of the topmost name that makes a path too long. */
function lastNameable(path: string): string {
  let end = path.indexOf('/', longestPathBytes + 1);
  if (end < 0) end = path.length;
  return parentOf(path.slice(0, end));
}

const pieceBytes = 1024 * 1024;

/** The paths of records that are too long. Looks only at every few thousandth byte: other records have an end in between. */
function* longPaths(file: string): Generator<string> {
  const handle = openSync(file, 'r');
  try {
    let rest = Buffer.alloc(0);
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceBytes);
      const length = readSync(handle, piece, 0, pieceBytes, null);
      if (length === 0) return;
      const bytes = rest.length === 0 ? piece.subarray(0, length) : Buffer.concat([rest, piece.subarray(0, length)]);
      let at = 0;
      while (at + longestPathBytes < bytes.length) {
        const end = bytes.lastIndexOf(0, at + longestPathBytes);
        if (end >= at) {
          at = end + 1;
          continue;
        }
        const far = bytes.indexOf(0, at + longestPathBytes);
        if (far < 0) break;
        const record = bytes.toString('latin1', at, far);
        const path = record.slice(0, record.lastIndexOf(pathEnd));
        if (path.length > longestPathBytes) yield path;
        at = far + 1;
      }
      rest = Buffer.from(bytes.subarray(at));
    }
  } finally {
    closeSync(handle);
  }
}
