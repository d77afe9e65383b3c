import type { BigIntStats } from 'node:fs';
import * as v from 'valibot';
import { escapeName, unescapeName } from '../../../protocol/file-name.ts';
import { type Change, ChangesRequestSchema, maxMessageBytes } from '../../../protocol/messages.ts';
import { statPlace } from '../../../system/deep-place.ts';
import { type ByteName, compareNames, namesOf, pathOf, sortedEntries } from './walk.ts';

/** A page ends here, well below the largest message. */
const pageBytes = maxMessageBytes / 2;
/** Of a name, escaped. */
const longestName = 16_384;

/** One page of what differs between two snapshots below one path. */
export async function changesInside(request: Buffer): Promise<{ changes: Change[]; next?: string }> {
  const { from, to, path, after } = v.parse(ChangesRequestSchema, JSON.parse(request.toString('utf8')));
  const roots: Roots = [`./${from}/fs`, `./${to}/fs`];
  const seen = after === undefined ? undefined : namesOf(unescapeName(after));
  const changes: Change[] = [];
  let bytes = 0;
  for (const change of differences(roots, namesOf(unescapeName(path)), seen)) {
    // The protocol carries no longer name: only a client of its own making has one.
    if (change.path.length > longestName) continue;
    changes.push(change);
    bytes += Buffer.byteLength(JSON.stringify(change));
    if (bytes > pageBytes) return { changes, next: change.path };
  }
  return { changes };
}

type Roots = readonly [before: ByteName, after: ByteName];

/** Both trees at once, in the order of names, so that neither has to be remembered. */
function* differences(
  roots: Roots,
  names: readonly ByteName[],
  seen: readonly ByteName[] | undefined,
): Generator<Change> {
  const before = sortedEntries(pathOf(roots[0], names));
  const after = sortedEntries(pathOf(roots[1], names));
  for (let left = 0, right = 0; left < before.names.length || right < after.names.length; ) {
    const order = compareEntries(before.names[left], after.names[right]);
    const name = (order <= 0 ? before.names[left] : after.names[right]) as ByteName;
    const path = [...names, name];
    if (order <= 0) left += 1;
    if (order >= 0) right += 1;
    const place = seen === undefined ? 1 : compareNames(path, seen);
    if (place > 0) {
      const change = compare(roots, path, [order <= 0, order >= 0]);
      if (change !== undefined) yield change;
    }
    const isDirectory = (order <= 0 && before.directories.has(name)) || (order >= 0 && after.directories.has(name));
    const leadsToSeen = seen !== undefined && place < 0 && compareNames(path, seen.slice(0, path.length)) === 0;
    if ((place >= 0 || leadsToSeen) && isDirectory) yield* differences(roots, path, seen);
  }
}

function compareEntries(a: ByteName | undefined, b: ByteName | undefined): number {
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Snapshots of one subvolume share inodes: what nobody touched has the same number and the same change time in both. */
function compare(
  roots: Roots,
  names: readonly ByteName[],
  isIn: readonly [before: boolean, after: boolean],
): Change | undefined {
  const stats = roots.map((root, at) => {
    if (!isIn[at]) return undefined;
    return statPlace(pathOf(root, names));
  });
  const [was, is] = stats;
  const path = escapeName(pathOf('', names));
  const sizes = { sizeBefore: sizeOf(was), sizeAfter: sizeOf(is) };
  if (was === undefined || is === undefined) return { path, change: was === undefined ? 'added' : 'removed', ...sizes };
  if (was.ino === is.ino && was.ctimeNs === is.ctimeNs) return undefined;
  const isSameContent = was.isDirectory()
    ? is.isDirectory()
    : is.isFile() && was.size === is.size && was.mtimeNs === is.mtimeNs;
  return { path, change: isSameContent ? 'attributes' : 'content', ...sizes };
}

function sizeOf(stat: BigIntStats | undefined): number | null {
  if (stat === undefined) return null;
  return stat.isFile() ? Number(stat.size) : 0;
}
