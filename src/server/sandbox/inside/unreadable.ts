import { type BigIntStats, closeSync, constants, openSync, readSync } from 'node:fs';
import * as v from 'valibot';
import { escapeName } from '../../../protocol/file-name.ts';
import { atPlace, statPlace } from '../../../system/deep-place.ts';
import { type ByteName, sortedEntries } from './walk.ts';

/** What is asked: which files of some states of one client the disk does not give, the newest state first. */
export const UnreadableTaskSchema = v.strictObject({
  trees: v.array(v.pipe(v.string(), v.regex(/^(?:current|snapshots\/[0-9TZ-]{1,32})$/))),
});

/** One line of the answer. */
export const UnreadableRowSchema = v.strictObject({
  tree: v.string(),
  /** Absolute on the client, escaped. */
  path: v.string(),
  /** Blocks of 4 KiB that cannot be read; 0 where the same file of a newer state was counted. */
  blocks: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export type UnreadableRow = v.InferOutput<typeof UnreadableRowSchema>;

const blockBytes = 4096;
/** A file with so many bad blocks is bad enough. */
const mostBlocks = 10_000;
/** What has more holes than this is not read: a client could make a file that takes years. */
const mostBytesOf = (stat: BigIntStats) => 100n * stat.blocks * 512n + 1024n ** 3n;
/** Of one state; names of more are not remembered. */
const mostNames = 100_000;

/**
 * Reads everything, the newest state in full and of each older one only what is another file there, and names what the
 * disk does not give. Snapshots share their inodes: what nobody has touched has the same number and the same change time.
 */
export async function* unreadableInside(request: Buffer): AsyncGenerator<string> {
  const { trees } = v.parse(UnreadableTaskSchema, JSON.parse(request.toString('utf8')));
  let newer: { readonly root: ByteName; readonly damaged: ReadonlySet<ByteName> } | undefined;
  for (const tree of trees) {
    const root = `./${tree}/fs`;
    const damaged = new Set<ByteName>();
    const linked = new Map<bigint, number | undefined>();
    for (const { path, stat } of filesIn(root)) {
      let blocks: number | undefined;
      if (stat === undefined) blocks = 1;
      else if (newer !== undefined && isSame(stat, newer.root + path)) blocks = newer.damaged.has(path) ? 0 : undefined;
      else if (linked.has(stat.ino)) blocks = linked.get(stat.ino);
      else {
        blocks = badBlocks(root + path, stat);
        // Its other names are not read again, and their blocks not counted again.
        if (stat.nlink > 1n) linked.set(stat.ino, blocks === undefined ? undefined : 0);
      }
      if (blocks === undefined) continue;
      if (damaged.size < mostNames) damaged.add(path);
      const row: UnreadableRow = { tree, path: escapeName(Buffer.from(path, 'latin1')), blocks };
      yield `${JSON.stringify(row)}\n`;
    }
    newer = { root, damaged };
  }
  yield '{"ok":true}\n';
}

/** All plain files of a tree, and without a stat what the disk does not even say that of. */
function* filesIn(root: ByteName): Generator<{ path: ByteName; stat: BigIntStats | undefined }> {
  const open: ByteName[] = [''];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    try {
      const { names, directories } = sortedEntries(Buffer.from(root + directory, 'latin1'));
      for (const name of names) {
        const path = `${directory}/${name}`;
        if (directories.has(name)) open.push(path);
        else yield* fileAt(root, path);
      }
    } catch (error) {
      if (!isLost(error)) throw error;
      yield { path: directory === '' ? '/' : directory, stat: undefined };
    }
  }
}

function* fileAt(root: ByteName, path: ByteName): Generator<{ path: ByteName; stat: BigIntStats | undefined }> {
  try {
    const stat = statPlace(Buffer.from(root + path, 'latin1'));
    // `current` may be written to meanwhile.
    if (stat?.isFile()) yield { path, stat };
  } catch (error) {
    if (!isLost(error)) throw error;
    yield { path, stat: undefined };
  }
}

function isLost(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EIO';
}

function isSame(stat: BigIntStats, other: ByteName): boolean {
  try {
    const there = statPlace(Buffer.from(other, 'latin1'));
    return there !== undefined && there.ino === stat.ino && there.ctimeNs === stat.ctimeNs;
  } catch {
    // Whatever stands there, it is not known to be the same.
    return false;
  }
}

const piece = Buffer.allocUnsafe(1024 * 1024);

/** How many blocks cannot be read; undefined when all can, or it has too many holes to be read. */
function badBlocks(path: ByteName, stat: BigIntStats): number | undefined {
  const blocks = countBadBlocks(path, stat, { atMost: mostBlocks, isTooLate: () => false });
  return blocks === 0 ? undefined : blocks;
}

/** How many blocks cannot be read; undefined when that is not known: it would take too long. */
export function countBadBlocks(
  path: ByteName,
  stat: BigIntStats,
  { atMost, isTooLate }: { readonly atMost: number; readonly isTooLate: () => boolean },
): number | undefined {
  if (stat.size > mostBytesOf(stat)) return undefined;
  let file: number;
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    file = atPlace(Buffer.from(path, 'latin1'), (place) => openSync(place, flags));
  } catch (error) {
    return isLost(error) ? 1 : undefined;
  }
  let blocks = 0;
  try {
    for (let at = 0; at < Number(stat.size) && blocks < atMost; ) {
      if (isTooLate()) return undefined;
      try {
        const read = readSync(file, piece, 0, piece.length, at);
        if (read === 0) break;
        at += read;
      } catch (error) {
        if (!isLost(error)) throw error;
        blocks += 1;
        at = (Math.floor(at / blockBytes) + 1) * blockBytes;
      }
    }
  } finally {
    closeSync(file);
  }
  return blocks;
}
