import type { BigIntStats } from 'node:fs';
import * as v from 'valibot';
import { escapeName, unescapeName } from '../../../protocol/file-name.ts';
import { FindRequestSchema, type FoundRow } from '../../../protocol/messages.ts';
import { isDeep, openPlace, statPlace } from '../../../system/deep-place.ts';
import { readFakeStats } from './fake-stat.ts';
import { compileGlob } from './glob.ts';
import { describe } from './versions.ts';
import { type ByteName, compareNames, namesOf, walk } from './walk.ts';

/** Attributes are read for so many at once: a program is started for each such batch. */
const batchSize = 1000;
/** Each entry with a long path keeps a file open until its batch is told. */
const mostDeep = 64;
/** The protocol carries no longer name, escaped: only a client of its own making has one. */
const longestName = 16_384;

/** Some entries whose records are being read. */
interface Batch {
  readonly entries: readonly { readonly name: string; readonly place: Place; readonly stat: BigIntStats }[];
  readonly records: Promise<(string | undefined)[]>;
}
type Place = ReturnType<typeof openPlace>;

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
  let deep = 0;
  for (const { names } of entries) {
    if (!globs.some((glob) => isBelow(names, glob.below) && glob.matches(names))) continue;
    const path = `/${names.join('/')}`;
    paths.push(path);
    if (isDeep(Buffer.from(root + path, 'latin1'))) deep += 1;
    if (paths.length < batchSize && deep < mostDeep) continue;
    const batch = look(root, paths);
    paths = [];
    deep = 0;
    if (before !== undefined) yield await linesOf(before);
    before = batch;
  }
  if (before !== undefined) yield await linesOf(before);
  if (paths.length > 0) yield await linesOf(look(root, paths));
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
  const entries = paths.flatMap((path) => {
    const name = escapeName(Buffer.from(path, 'latin1'));
    if (name.length > longestName) return [];
    const place = openPlace(Buffer.from(root + path, 'latin1'));
    const stat = statPlace(place.place);
    if (stat === undefined) throw new Error(`ENOENT: ${name}`);
    return [{ name, place, stat }];
  });
  return { entries, records: readFakeStats(entries.map(({ place }) => place.place)) };
}

async function linesOf({ entries, records }: Batch): Promise<string> {
  const recorded = await records;
  let lines = '';
  for (const [at, { name, place, stat }] of entries.entries()) {
    const row: FoundRow = { path: name, ...describe(place.place, stat, recorded[at]) };
    place.close();
    lines += `${JSON.stringify(row)}\n`;
  }
  return lines;
}
