import { type Dir, opendirSync } from 'node:fs';
import { atPlace } from '../../../system/deep-place.ts';

/** The bytes of one name, one character each (latin1): half the memory of a Buffer, and compared like bytes. */
export type ByteName = string;

/** One name in a tree. */
export interface WalkedEntry {
  /** Names from the top down; the same array for all entries, so that it must be copied to be kept. */
  readonly names: readonly ByteName[];
  readonly isDirectory: boolean;
}

/** Where a walk begins, and where it does not go. */
export interface WalkOptions {
  /** Directory that the names count from. */
  readonly root: ByteName;
  /** Begins below this. */
  readonly below: readonly ByteName[];
  /** Everything up to this, in the order of the walk, was seen before. */
  readonly after?: readonly ByteName[] | undefined;
  /** False for a directory that holds nothing of interest. */
  readonly enters: (names: readonly ByteName[]) => boolean;
}

/** The path of some names below a directory, as the bytes that system calls want. */
export function pathOf(root: ByteName, names: readonly ByteName[]): Buffer {
  return Buffer.from(names.length === 0 ? root : `${root}/${names.join('/')}`, 'latin1');
}

/** The order of a walk: a directory, then what is in it, names by their bytes. */
export function compareNames(a: readonly ByteName[], b: readonly ByteName[]): number {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const [left = '', right = ''] = [a[at], b[at]];
    if (left !== right) return left < right ? -1 : 1;
  }
  return a.length - b.length;
}

/** What is in a directory, by the bytes of the names. */
export interface Listed {
  readonly names: readonly ByteName[];
  readonly directories: ReadonlySet<ByteName>;
}

/** What is in a directory, however long its path is; nothing for what is none or cannot be read. */
export function sortedEntries(path: Buffer): Listed {
  const names: ByteName[] = [];
  const directories = new Set<ByteName>();
  let directory: Dir;
  try {
    directory = atPlace(path, (place) => opendirSync(place, { encoding: 'latin1', bufferSize: 256 }));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return { names, directories };
    throw error;
  }
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      names.push(entry.name);
      if (entry.isDirectory()) directories.add(entry.name);
    }
  } finally {
    directory.closeSync();
  }
  return { names: names.sort(), directories };
}

/**
 * Walks a tree that nobody changes, in a fixed order, and never through a link. Memory is that of one directory's names
 * at each level. `after` skips whole directories, so that what goes on costs only what is left.
 */
export function* walk({ root, below, after, enters }: WalkOptions): Generator<WalkedEntry> {
  const names = [...below];
  // A stack of our own: a generator in a generator costs its depth with every entry, and a client decides how deep it is.
  const open = [{ ...sortedEntries(pathOf(root, names)), at: 0 }];
  for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
    const name = level.names[level.at];
    level.at += 1;
    if (name === undefined) {
      open.pop();
      names.pop();
      continue;
    }
    names.push(name);
    const order = after === undefined ? 1 : compareNames(names, after);
    const isDirectory = level.directories.has(name);
    if (order > 0) yield { names, isDirectory };
    // What comes before `after` is of interest only when `after` is in it.
    if (isDirectory && (order >= 0 || isAbove(names, after)) && enters(names)) {
      open.push({ ...sortedEntries(pathOf(root, names)), at: 0 });
    } else {
      names.pop();
    }
  }
}

function isAbove(names: readonly ByteName[], of: readonly ByteName[] | undefined): boolean {
  return of !== undefined && names.length < of.length && names.every((name, at) => name === of[at]);
}

/** The names of an absolute path. */
export function namesOf(path: Uint8Array): ByteName[] {
  return Buffer.from(path)
    .toString('latin1')
    .split('/')
    .filter((name) => name !== '');
}
