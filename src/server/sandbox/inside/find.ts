import { lstatSync } from 'node:fs';
import * as v from 'valibot';
import { escapeName, unescapeName } from '../../../protocol/file-name.ts';
import { FindRequestSchema, maxMessageBytes, type Version } from '../../../protocol/messages.ts';
import type { SnapshotName } from '../../../protocol/names.ts';
import { readFakeStats } from './fake-stat.ts';
import { compileGlob } from './glob.ts';
import { describe } from './versions.ts';
import { compareNames, namesOf, pathOf, walk } from './walk.ts';

/** Attributes are read for so many at once. */
const batchSize = 500;
/** A page ends here, well below the largest message. */
const pageBytes = maxMessageBytes / 2;

/** One page of what matches in one snapshot. */
export async function findInside(request: Buffer): Promise<{ versions: Version[]; next?: string }> {
  const { snapshot, patterns, after } = v.parse(FindRequestSchema, JSON.parse(request.toString('utf8')));
  const globs = patterns.map((pattern) => compileGlob(pattern));
  const root = Buffer.from(`./${snapshot}/fs`);
  const below = commonStart(globs.map((glob) => glob.below));
  const entries = walk({
    root,
    below,
    after: after === undefined ? undefined : namesOf(unescapeName(after)),
    enters: (names) =>
      globs.some((glob) => (names.length <= glob.below.length ? isOnTheWay(names, glob.below) : glob.enters(names))),
  });
  const versions: Version[] = [];
  let bytes = 0;
  let batch: Buffer[][] = [];
  const takeBatch = async () => {
    for (const version of await describeAll(root, snapshot, batch)) {
      versions.push(version);
      bytes += Buffer.byteLength(JSON.stringify(version));
    }
    batch = [];
  };
  for (const { names } of entries) {
    if (!globs.some((glob) => isBelow(names, glob.below) && glob.matches(names))) continue;
    batch.push([...names]);
    if (batch.length < batchSize) continue;
    const last = escapeName(pathOf(Buffer.alloc(0), names));
    await takeBatch();
    if (bytes > pageBytes) return { versions, next: last };
  }
  await takeBatch();
  return { versions };
}

function commonStart(all: readonly (readonly Buffer[])[]): Buffer[] {
  const [first = [], ...others] = all;
  const differs = first.findIndex((name, at) =>
    others.some((other) => other[at] === undefined || !other[at].equals(name)),
  );
  return first.slice(0, differs < 0 ? first.length : differs);
}

function isOnTheWay(names: readonly Buffer[], to: readonly Buffer[]): boolean {
  return compareNames(names, to.slice(0, names.length)) === 0;
}

function isBelow(names: readonly Buffer[], directory: readonly Buffer[]): boolean {
  return names.length > directory.length && isOnTheWay(directory, names);
}

async function describeAll(root: Buffer, snapshot: SnapshotName, paths: readonly Buffer[][]): Promise<Version[]> {
  const places = paths.map((names) => pathOf(root, names));
  const fakeStats = await readFakeStats(places);
  const versions: Version[] = [];
  for (const [at, names] of paths.entries()) {
    const place = places[at] as Buffer;
    const stat = lstatSync(place, { bigint: true });
    const path = escapeName(pathOf(Buffer.alloc(0), names));
    versions.push({ snapshot, path, ...(await describe(place, stat, fakeStats[at])) });
  }
  return versions;
}
