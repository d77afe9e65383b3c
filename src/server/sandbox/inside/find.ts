import { type BigIntStats, lstatSync } from 'node:fs';
import * as v from 'valibot';
import { escapeName, unescapeName } from '../../../protocol/file-name.ts';
import { FindRequestSchema, type FoundRow } from '../../../protocol/messages.ts';
import { readFakeStats } from './fake-stat.ts';
import { compileGlob } from './glob.ts';
import { describe } from './versions.ts';
import { type ByteName, compareNames, namesOf, walk } from './walk.ts';

/** Attributes are read for so many at once: a program is started for each such batch. */
const batchSize = 1000;

/** Some entries whose records are being read. */
interface Batch {
  readonly paths: readonly ByteName[];
  readonly stats: readonly BigIntStats[];
  readonly records: Promise<(string | undefined)[]>;
}

/**
 * What matches in one snapshot, in the order of the walk, as lines of JSON: one row each, and at last `{"ok":true}`.
 * A few thousand rows are in memory at a time, however many there are: the next batch is walked while the records of the
 * one before are read, and whoever reads the lines slowly makes the walk wait.
 */
export async function* findInside(request: Buffer): AsyncGenerator<string> {
  const { snapshot, patterns, after } = v.parse(FindRequestSchema, JSON.parse(request.toString('utf8')));
  const globs = patterns.map((pattern) => compileGlob(pattern));
  const root = `./${snapshot}/fs`;
  const entries = walk({
    root,
    below: commonStart(globs.map((glob) => glob.below)),
    after: after === undefined ? undefined : namesOf(unescapeName(after)),
    enters: (names) =>
      globs.some((glob) => (names.length <= glob.below.length ? isOnTheWay(names, glob.below) : glob.enters(names))),
  });
  let before: Batch | undefined;
  let paths: ByteName[] = [];
  for (const { names } of entries) {
    if (!globs.some((glob) => isBelow(names, glob.below) && glob.matches(names))) continue;
    paths.push(`/${names.join('/')}`);
    if (paths.length < batchSize) continue;
    const batch = look(root, paths);
    paths = [];
    if (before !== undefined) yield await linesOf(root, before);
    before = batch;
  }
  if (before !== undefined) yield await linesOf(root, before);
  if (paths.length > 0) yield await linesOf(root, look(root, paths));
  yield '{"ok":true}\n';
}

function commonStart(all: readonly (readonly ByteName[])[]): ByteName[] {
  const [first = [], ...others] = all;
  const differs = first.findIndex((name, at) => others.some((other) => other[at] !== name));
  return first.slice(0, differs < 0 ? first.length : differs);
}

function isOnTheWay(names: readonly ByteName[], to: readonly ByteName[]): boolean {
  return compareNames(names, to.slice(0, names.length)) === 0;
}

function isBelow(names: readonly ByteName[], directory: readonly ByteName[]): boolean {
  return names.length > directory.length && directory.every((name, at) => name === names[at]);
}

function look(root: ByteName, paths: readonly ByteName[]): Batch {
  const places = paths.map((path) => Buffer.from(root + path, 'latin1'));
  return { paths, records: readFakeStats(places), stats: places.map((place) => lstatSync(place, { bigint: true })) };
}

async function linesOf(root: ByteName, { paths, stats, records }: Batch): Promise<string> {
  const recorded = await records;
  let lines = '';
  for (const [at, path] of paths.entries()) {
    const place = Buffer.from(root + path, 'latin1');
    const row: FoundRow = {
      path: escapeName(place.subarray(root.length)),
      ...describe(place, stats[at] as BigIntStats, recorded[at]),
    };
    lines += `${JSON.stringify(row)}\n`;
  }
  return lines;
}
