import { type BigIntStats, closeSync, constants, openSync, readSync } from 'node:fs';
import * as v from 'valibot';
import { escapeName, unescapeName } from '../../../protocol/file-name.ts';
import type { Version } from '../../../protocol/messages.ts';
import { SnapshotNameSchema } from '../../../protocol/names.ts';
import { openPlace, statPlace } from '../../../system/deep-place.ts';
import { isMissing } from '../../../system/files.ts';
import { parseFakeStat, readFakeStats } from './fake-stat.ts';

/** What is asked: every path in every snapshot. The snapshots are the directories of the jail's one directory. */
export const VersionsTaskSchema = v.object({
  snapshots: v.array(SnapshotNameSchema),
  /** Absolute paths on the client, escaped, without `.` and `..`. */
  paths: v.array(v.string()),
});

/** A link's target is the content of a plain file under --fake-super; more than this is no target. */
const maxTargetBytes = 4096;

/** Looks up each path in each snapshot, oldest first; what is not there is left out. */
export async function versionsInside(request: Buffer): Promise<{ versions: Version[] }> {
  const { snapshots, paths } = v.parse(VersionsTaskSchema, JSON.parse(request.toString('utf8')));
  const versions: Version[] = [];
  for (const path of paths) {
    const places = snapshots.map((snapshot) => ({
      snapshot,
      place: Buffer.concat([Buffer.from(`./${snapshot}/fs`), unescapeName(path)]),
    }));
    for (const some of partsOf(places, mostAtOnce)) versions.push(...(await lookAtAll(path, some)));
  }
  return { versions };
}

/** Each with a long path keeps a file open. */
const mostAtOnce = 64;

interface AskedPlace {
  readonly snapshot: Version['snapshot'];
  readonly place: Buffer;
}

function* partsOf<T>(all: readonly T[], length: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += length) yield all.slice(at, at + length);
}

async function lookAtAll(path: string, asked: readonly AskedPlace[]): Promise<Version[]> {
  const there = asked.flatMap(({ snapshot, place }) => {
    const found = lookAt(place);
    return found === undefined ? [] : [{ snapshot, ...found }];
  });
  try {
    const fakeStats = await readFakeStats(there.map(({ reached }) => reached.place));
    return there.map(({ snapshot, reached, stat }, at) => ({
      snapshot,
      path,
      ...describe(reached.place, stat, fakeStats[at]),
    }));
  } finally {
    for (const { reached } of there) reached.close();
  }
}

function lookAt(place: Buffer): { stat: BigIntStats; reached: ReturnType<typeof openPlace> } | undefined {
  try {
    const stat = statPlace(place);
    return stat === undefined ? undefined : { stat, reached: openPlace(place) };
  } catch (error) {
    if (
      isMissing(error) ||
      ['ENAMETOOLONG', 'EACCES', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')
    ) {
      return undefined;
    }
    throw error;
  }
}

/** What the client's file was: from rsync's own record where there is one, else from the stored file itself. */
export function describe(
  place: Buffer,
  stat: StoredStat,
  recorded: string | undefined,
): Omit<Version, 'snapshot' | 'path'> {
  const described = describeWithoutTarget(stat, recorded);
  const target = described.type === 'link' ? readTarget(place) : undefined;
  return { ...described, ...(target === undefined ? {} : { target: escapeName(target).slice(0, 16_384) }) };
}

/** What is known of a stored file without looking into it. */
export type StoredStat = Readonly<Pick<BigIntStats, 'mode' | 'uid' | 'gid' | 'size' | 'mtimeNs'>>;

/** The same without the target of a link, for which the stored file must be read. */
export function describeWithoutTarget(
  stat: StoredStat,
  recorded: string | undefined,
): Omit<Version, 'snapshot' | 'path' | 'target'> {
  const times = { sizeBytes: Number(stat.size), mtime: decimalSeconds(stat.mtimeNs) };
  const fake =
    recorded === undefined
      ? { mode: Number(stat.mode), uid: Number(stat.uid), gid: Number(stat.gid) }
      : parseFakeStat(recorded);
  // A record that is corrupt says nothing; the file is listed all the same.
  if (fake === undefined) return { ...times, type: 'unknown', mode: null, uid: null, gid: null };
  return { ...times, type: typeOf(fake.mode), mode: fake.mode & 0o7777, uid: fake.uid, gid: fake.gid };
}

/** Nanoseconds as "1763600000.123456789". */
export function decimalSeconds(nanoseconds: bigint): string {
  const billion = 1_000_000_000n;
  // Rounded downwards, as the kernel counts: half a second before 1970 is -1 and 500000000.
  const fraction = ((nanoseconds % billion) + billion) % billion;
  return `${(nanoseconds - fraction) / billion}.${fraction.toString().padStart(9, '0')}`;
}

const types: Readonly<Record<number, Version['type']>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'link',
  0o010000: 'fifo',
  0o140000: 'socket',
  0o060000: 'block',
  0o020000: 'character',
};

function typeOf(mode: number): Version['type'] {
  return types[mode & 0o170000] ?? 'unknown';
}

/** The target of a stored link, as bytes; undefined when it cannot be read. */
export function readTarget(place: Buffer): Buffer | undefined {
  let file: number;
  try {
    file = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // It cannot be read, so it is listed without its target.
    return undefined;
  }
  try {
    const target = Buffer.alloc(maxTargetBytes);
    return target.subarray(0, readSync(file, target, 0, maxTargetBytes, 0));
  } catch {
    // The disk does not give it, or it is a directory that is said to be a link.
    return undefined;
  } finally {
    closeSync(file);
  }
}
