import type { Entry } from './record.ts';
import type { Taken } from './taken.ts';

/** One path that differs between the last completed run and now; an entry that a run does not take is absent. Pure. */
export interface Change {
  readonly path: string;
  readonly before?: Entry;
  readonly after?: Entry;
  /** The store is not known to have what the last run saw: compared by content, whatever size and time say. */
  readonly doubtful?: boolean;
}

/** What a tree holds. */
export interface Totals {
  /** Everything that is no directory. */
  files: number;
  /** Bytes of content; each of several names of a file counts its share. */
  bytes: number;
}

/** Adds an entry to totals, or takes it away. */
export function count(totals: Totals, entry: Entry | undefined, sign: 1 | -1): void {
  if (entry === undefined || entry.type === 'd') return;
  totals.files += sign;
  if (entry.type === 'f') totals.bytes += sign * Math.round(entry.sizeBytes / Math.max(1, entry.links));
}

/** The change that two records of the same path make, or undefined when a run takes neither. */
export function changeOf(taken: Taken, before: Entry | undefined, after: Entry | undefined): Change | undefined {
  const path = (before ?? after)?.path ?? '';
  const old = before !== undefined && taken(path, before.type === 'd') ? before : undefined;
  const now = after !== undefined && taken(path, after.type === 'd') ? after : undefined;
  if (old === undefined && now === undefined) return undefined;
  return { path, ...(old === undefined ? {} : { before: old }), ...(now === undefined ? {} : { after: now }) };
}

/** True when nothing about an entry differs, its name aside. */
export function isSame(one: Entry, other: Entry): boolean {
  return (
    one.type === other.type &&
    one.sizeBytes === other.sizeBytes &&
    one.mtime === other.mtime &&
    one.ctime === other.ctime &&
    one.inode === other.inode &&
    one.links === other.links &&
    one.rights === other.rights
  );
}

/** What rsync is given, in groups that go in runs of their own. Paths are absolute. */
export interface SendPlan {
  /** Compared by size and time; directories, other kinds and what is gone are in it. */
  readonly normal: string[];
  /** Compared by checksum: same size and time but something else changed, and files with several names. */
  readonly checksum: string[];
  /** Large files with one name here and there, by block size; and those of them that are compared by checksum. */
  readonly inPlace: { readonly blockSizeBytes: number; readonly checksum: boolean; readonly paths: string[] }[];
  /** Large files with holes of which the other side has nothing that helps: written so that the holes stay holes. */
  readonly sparse: { readonly checksum: boolean; readonly paths: string[] }[];
  /** Bytes of content that will go over at most; holes are none. */
  readonly bytes: number;
  /** Bytes of all files that are listed: what a comparison by checksum has to read here. */
  readonly listedBytes: number;
  readonly deleted: number;
  /** What was a directory and is none now, or is gone: all that was in it goes with it. */
  readonly noDirectoryNow: ReadonlySet<string>;
}

/** How large files are told and grouped. */
export interface LargeFiles {
  readonly fromBytes: number;
  readonly blockSizeFor: (sizeBytes: number) => number;
  /** What those with holes take of their disk, by path. */
  readonly sparse: ReadonlyMap<string, { readonly allocatedBytes: number }>;
}

/**
 * Whether a file with holes is made anew: when nothing is there, or what it has grown by is mostly holes, which would be written
 * as zeros in place.
 */
function isMadeWithHoles(before: Entry | undefined, after: Entry, allocatedBytes: number): boolean {
  const thereBytes = before?.type === 'f' ? before.sizeBytes : 0;
  return thereBytes + allocatedBytes < after.sizeBytes;
}

/** Puts every change into the group that carries it over truly. */
export function planSending(changes: readonly Change[], large: LargeFiles): SendPlan {
  const normal: string[] = [];
  const checksum: string[] = [];
  const inPlace = new Map<string, { blockSizeBytes: number; checksum: boolean; paths: string[] }>();
  const noDirectoryNow = new Set(
    changes.filter(({ before, after }) => before?.type === 'd' && after?.type !== 'd').map(({ path }) => path),
  );
  const sparse = new Map<boolean, string[]>();
  let bytes = 0;
  let listedBytes = 0;
  let deleted = 0;
  for (const { path, before, after, doubtful } of changes) {
    if (after === undefined) {
      deleted += 1;
      // Only the topmost of what is gone is named; rsync takes the rest along.
      if (!noDirectoryNow.has(path.slice(0, path.lastIndexOf('/')) || '/')) normal.push(path);
      continue;
    }
    if (after.type !== 'f') {
      normal.push(path);
      continue;
    }
    listedBytes += after.sizeBytes;
    const isSameByTime = before?.type === 'f' && before.sizeBytes === after.sizeBytes && before.mtime === after.mtime;
    const looksSame = isSameByTime || doubtful === true;
    const allocatedBytes = large.sparse.get(path)?.allocatedBytes;
    if (!isSameByTime || doubtful) bytes += Math.round((allocatedBytes ?? after.sizeBytes) / Math.max(1, after.links));
    if (allocatedBytes !== undefined && !doubtful && isMadeWithHoles(before, after, allocatedBytes)) {
      const isLinked = after.links > 1;
      sparse.set(isLinked, [...(sparse.get(isLinked) ?? []), path]);
    } else if (after.links === 1 && before?.type === 'f' && before.links === 1 && after.sizeBytes >= large.fromBytes) {
      const blockSizeBytes = large.blockSizeFor(after.sizeBytes);
      const key = `${blockSizeBytes} ${looksSame}`;
      const group = inPlace.get(key) ?? { blockSizeBytes, checksum: looksSame, paths: [] };
      group.paths.push(path);
      inPlace.set(key, group);
    } else if (looksSame || after.links > 1) {
      // All names of a file must go in one run of rsync, and a name that joined a file looks like it by size and time.
      checksum.push(path);
    } else {
      normal.push(path);
    }
  }
  return {
    normal,
    checksum,
    inPlace: [...inPlace.values()],
    sparse: [...sparse].map(([isLinked, paths]) => ({ checksum: isLinked, paths })),
    bytes,
    listedBytes,
    deleted,
    noDirectoryNow,
  };
}
