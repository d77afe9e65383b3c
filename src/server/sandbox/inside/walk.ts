import { type Dirent, readdirSync } from 'node:fs';

/** One name in a tree. */
export interface WalkedEntry {
  /** Names from the top down, as bytes. */
  readonly names: readonly Buffer[];
  readonly isDirectory: boolean;
}

/** Where a walk begins, and where it does not go. */
export interface WalkOptions {
  /** Directory that the names count from. */
  readonly root: Buffer;
  /** Begins below this. */
  readonly below: readonly Buffer[];
  /** Everything up to this, in the order of the walk, was seen before. */
  readonly after?: readonly Buffer[] | undefined;
  /** False for a directory that holds nothing of interest. */
  readonly enters: (names: readonly Buffer[]) => boolean;
}

const slash = Buffer.from('/');

/** The path of some names below a directory. */
export function pathOf(root: Buffer, names: readonly Buffer[]): Buffer {
  return Buffer.concat([root, ...names.flatMap((name) => [slash, name])]);
}

/** The order of a walk: a directory, then what is in it, names by their bytes. */
export function compareNames(a: readonly Buffer[], b: readonly Buffer[]): number {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const order = Buffer.compare(a[at] as Buffer, b[at] as Buffer);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** What is in a directory, sorted; nothing for what is none, cannot be read or has too long a path. */
export function sortedEntries(path: Buffer): Dirent<Buffer>[] {
  try {
    return readdirSync(path, { withFileTypes: true, encoding: 'buffer' }).sort((a, b) =>
      Buffer.compare(a.name, b.name),
    );
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return [];
    throw error;
  }
}

/**
 * Walks a tree that nobody changes, in a fixed order, and never through a link. Memory is that of one directory's names
 * at each level. `after` skips whole directories, so that the next page costs only what is left.
 */
export function* walk(options: WalkOptions): Generator<WalkedEntry> {
  yield* walkDirectory(options, options.below);
}

function* walkDirectory(options: WalkOptions, names: readonly Buffer[]): Generator<WalkedEntry> {
  const { root, after, enters } = options;
  for (const entry of sortedEntries(pathOf(root, names))) {
    const path = [...names, entry.name];
    const order = after === undefined ? 1 : compareNames(path, after);
    const isDirectory = entry.isDirectory();
    if (order > 0) yield { names: path, isDirectory };
    // What comes before `after` is of interest only when `after` is in it.
    if (isDirectory && (order >= 0 || isAbove(path, after)) && enters(path)) yield* walkDirectory(options, path);
  }
}

function isAbove(names: readonly Buffer[], of: readonly Buffer[] | undefined): boolean {
  return of !== undefined && names.length < of.length && names.every((name, at) => name.equals(of[at] as Buffer));
}

/** The names of an absolute path. */
export function namesOf(path: Uint8Array): Buffer[] {
  const text = Buffer.from(path).toString('latin1');
  return text
    .split('/')
    .filter((name) => name !== '')
    .map((name) => Buffer.from(name, 'latin1'));
}
