import { type Change, isSame } from './changes.ts';
import type { Entry } from './record.ts';

/** A rename that the server can replay on what it has, so that nothing of it is sent. Pure. */
export interface Move {
  /** Where it was in the last completed run; absolute. */
  readonly from: string;
  readonly to: string;
  readonly type: 'd' | 'f';
}

/**
 * Finds what was only renamed. A directory is known by its inode; a file with one name by inode, size and mtime. Inodes are
 * used again, so that a move is a hint and no more: what it brings into place is compared like everything else.
 *
 * What is unsettled may not be there on the server, and is no source.
 *
 * Moves are told with the topmost only: what moved along inside a directory needs no move of its own.
 */
export function findMoves(changes: readonly Change[], unsettled: ReadonlySet<string> = new Set()): Move[] {
  const directories = new Map<string, Entry>();
  const files = new Map<string, Entry>();
  /** Paths where the same inode stands as before: something that was moved away and back again, or just changed. */
  const stayed: string[] = [];
  for (const { path, before, after } of changes) {
    if (before === undefined) continue;
    if (after !== undefined && after.inode === before.inode && after.type === before.type) {
      stayed.push(path);
      continue;
    }
    if (unsettled.has(path)) continue;
    if (before.type === 'd') {
      directories.set(before.inode, before);
    } else if (before.type === 'f' && before.links === 1 && before.sizeBytes > 0) {
      files.set(before.inode, before);
    }
  }
  stayed.sort();
  const chosen = new Map<string, Move>();
  const arrivals = changes
    .filter(({ before, after }) => after !== undefined && (before?.inode !== after.inode || before.type !== after.type))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const { path, after } of arrivals) {
    if (after === undefined) continue;
    const source = sourceOf(after, directories, files);
    if (source === undefined || source.path === path || path === '/' || source.path === '/') continue;
    if (isImplied(source.path, path, chosen)) continue;
    if (after.type === 'd') {
      // Into itself: only an inode that was used again looks like that.
      if (isBelow(path, source.path) || isBelow(source.path, path)) continue;
      // What stayed in a place that is moved away or over would be lost with it.
      if (anyBelow(stayed, source.path) || anyBelow(stayed, path)) continue;
    }
    chosen.set(path, { from: source.path, to: path, type: after.type === 'd' ? 'd' : 'f' });
    (after.type === 'd' ? directories : files).delete(after.inode);
  }
  return [...chosen.values()];
}

function sourceOf(after: Entry, directories: Map<string, Entry>, files: Map<string, Entry>): Entry | undefined {
  if (after.type === 'd') return directories.get(after.inode);
  if (after.type !== 'f' || after.links !== 1) return undefined;
  const before = files.get(after.inode);
  return before !== undefined && before.sizeBytes === after.sizeBytes && before.mtime === after.mtime
    ? before
    : undefined;
}

/** True when the move of a directory around it does it already. */
function isImplied(from: string, to: string, chosen: ReadonlyMap<string, Move>): boolean {
  for (let at = to.lastIndexOf('/'); at > 0; at = to.lastIndexOf('/', at - 1)) {
    const move = chosen.get(to.slice(0, at));
    if (move !== undefined) return move.type === 'd' && from === move.from + to.slice(at);
  }
  return false;
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

/** Whether a sorted list holds a path below a directory. */
function anyBelow(sorted: readonly string[], directory: string): boolean {
  const prefix = `${directory}/`;
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? '') < prefix) low = middle + 1;
    else high = middle;
  }
  return sorted[low]?.startsWith(prefix) ?? false;
}

/**
 * The changes that are left once the server has replayed the moves: what it has then is worked out from what it had, and
 * compared with what is there now. Whatever stood at a move's target is gone.
 */
export function changesAfter(changes: readonly Change[], moves: readonly Move[]): Change[] {
  if (moves.length === 0) return [...changes];
  const byFrom = new Map(moves.map((move) => [move.from, move]));
  const targets = new Set(moves.map(({ to }) => to));
  const befores = new Map<string, Entry>();
  for (const { before } of changes) {
    if (before === undefined) continue;
    const place = placeAfter(before.path, byFrom, targets);
    if (place !== undefined) befores.set(place, { ...before, path: place });
  }
  const left: Change[] = [];
  for (const { path, after } of changes) {
    const before = befores.get(path);
    befores.delete(path);
    if (before === undefined && after === undefined) continue;
    if (before !== undefined && after !== undefined && isSame(before, after)) continue;
    left.push({ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) });
  }
  for (const [path, before] of befores) left.push({ path, before });
  return left;
}

/** Where things stand after the moves; those whose place a move's target took are left out. */
export function placesAfter(paths: Iterable<string>, moves: readonly Move[]): string[] {
  const byFrom = new Map(moves.map((move) => [move.from, move]));
  const targets = new Set(moves.map(({ to }) => to));
  return [...paths].map((path) => placeAfter(path, byFrom, targets)).filter((place) => place !== undefined);
}

/** The same of one. */
function placeAfter(path: string, byFrom: ReadonlyMap<string, Move>, targets: ReadonlySet<string>): string | undefined {
  // The deepest move decides: it is pulled out before what lies around it goes.
  const carrying = upwards(path)
    .map((at) => byFrom.get(at))
    .find((move) => move !== undefined);
  const place = carrying === undefined ? path : carrying.to + path.slice(carrying.from.length);
  // Targets are filled from the topmost, so that a deeper one takes the place of what came with the one around it.
  for (const at of upwards(place)) {
    if (at === carrying?.to) break;
    if (targets.has(at)) return undefined;
  }
  return place;
}

/** A path and the directories that it lies in, from the deepest. */
function upwards(path: string): string[] {
  const paths: string[] = [];
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) paths.push(path.slice(0, end));
  return paths;
}
