import type { BigIntStats } from 'node:fs';
import * as v from 'valibot';
import { unescapeName } from '../../../protocol/file-name.ts';
import { statPlace } from '../../../system/deep-place.ts';
import { isPlainRelative } from './separate.ts';
import { countBadBlocks } from './unreadable.ts';

const Tree = v.pipe(v.string(), v.regex(/^snapshots\/[0-9TZ-]{1,32}$/));

/** What is asked: what became of files that were damaged, in some snapshots of one client. */
export const LookTaskSchema = v.strictObject({
  trees: v.array(Tree),
  files: v.array(
    v.strictObject({
      /** Absolute on the client, escaped. */
      path: v.string(),
      /** A state in which it is known to be damaged. */
      damagedIn: v.optional(Tree),
      /** A state before which it had been removed: what stands there was sent, and is not read. */
      sentIn: v.optional(Tree),
    }),
  ),
});
export type LookTask = v.InferOutput<typeof LookTaskSchema>;

export const LookAnswerSchema = v.strictObject({
  ok: v.literal(true),
  /** In the order of the question; no state where it could not be told in time. */
  files: v.array(v.record(v.string(), v.picklist(['damaged', 'whole', 'missing']))),
});
export type LookAnswer = v.InferOutput<typeof LookAnswerSchema>;
export type Found = LookAnswer['files'][number][string];

/** Reading takes no longer in all: a client's lock is held meanwhile, and a file can be as large as a disk. */
const mostMs = 120_000;

/**
 * Whether files are still damaged. Snapshots share their inodes: what nobody has touched has the same number and the same
 * change time, and is as damaged as it was. What is another file, or was touched, is read: a new snapshot has nothing of it
 * in memory, so that the disk itself is asked.
 */
export async function lookInside(request: Buffer, { now = Date.now, root = '.' } = {}): Promise<LookAnswer> {
  const { trees, files } = v.parse(LookTaskSchema, JSON.parse(request.toString('utf8')));
  const until = now() + mostMs;
  return {
    ok: true,
    files: files.map(({ path, damagedIn, sentIn }) => {
      const found: Record<string, Found> = {};
      const name = unescapeName(path).toString('latin1');
      // A file whose name could not be told stands in brackets.
      if (!name.startsWith('/') || !isPlainRelative(Buffer.from(name.slice(1), 'latin1'))) return found;
      const at = (tree: string) => `${root}/${tree}/fs${name}`;
      const damaged = damagedIn === undefined ? 'missing' : statOf(at(damagedIn));
      for (const tree of trees) {
        const stat = statOf(at(tree));
        if (stat === 'missing' || stat === 'damaged') found[tree] = stat;
        else if (!stat.isFile()) continue;
        else if (typeof damaged === 'object' && isSame(stat, damaged)) found[tree] = 'damaged';
        else if (tree === sentIn) found[tree] = 'whole';
        else {
          const blocks = countBadBlocks(at(tree), stat, { atMost: 1, isTooLate: () => now() > until });
          if (blocks !== undefined) found[tree] = blocks === 0 ? 'whole' : 'damaged';
        }
      }
      return found;
    }),
  };
}

function statOf(path: string): BigIntStats | 'missing' | 'damaged' {
  try {
    return statPlace(Buffer.from(path, 'latin1')) ?? 'missing';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 'damaged';
    // A part of its path is no directory any more, or cannot be looked into.
    return 'missing';
  }
}

function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return one.ino === other.ino && one.ctimeNs === other.ctimeNs;
}
