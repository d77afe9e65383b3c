import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../system/run.ts';
import { eachRecord } from './compare.ts';
import { parentOf, pathEnd } from './record.ts';
import { openSource } from './scan.ts';

/** A place of the tree that a run does not look into: the store keeps there what it has. */
export interface KeptPlace {
  /** Absolute, as a byte string. */
  readonly path: string;
  /** `contents` is what lies below it; the directory itself was seen. */
  readonly extent: 'contents' | 'whole';
  readonly why: string;
}

/** Whether a path belongs to a kept place. */
export function keptBy(places: readonly KeptPlace[]): (path: string) => boolean {
  const exact = new Set(places.filter(({ extent }) => extent === 'whole').map(({ path }) => path));
  const prefixes = places.map(({ path }) => (path === '/' ? path : `${path}/`));
  return (path) => exact.has(path) || prefixes.some((prefix) => path.length > prefix.length && path.startsWith(prefix));
}

/** The places that lie in none of the others; of two for one path the one that keeps more. */
export function topmostPlaces(places: readonly KeptPlace[]): KeptPlace[] {
  const byPath = new Map<string, KeptPlace>();
  for (const place of places) {
    if (place.extent === 'whole' || !byPath.has(place.path)) byPath.set(place.path, place);
  }
  return [...byPath.values()].filter(({ path }) => !upwards(path).some((outer) => byPath.has(outer)));
}

/** The directories that a path lies in, the nearest first, without the root. */
function upwards(path: string): string[] {
  const paths: string[] = [];
  for (let at = parentOf(path); at !== '/'; at = parentOf(at)) paths.push(at);
  return paths;
}

/**
 * Puts what an earlier catalogue has of the kept places into the records of a scan, in the place of what the scan saw there. What lies
 * in a directory that is gone altogether is kept with that directory.
 * @param before the catalogue's file; undefined when there is none
 * @returns the file to go on with, and the places as they were kept
 */
export async function keepRecords(
  scanFile: string,
  before: string | undefined,
  places: readonly KeptPlace[],
  workDirectory: string,
): Promise<{ file: string; places: KeptPlace[] }> {
  const seen = new Set<string>();
  const wanted = new Set(places.flatMap(({ path }) => [path, ...upwards(path)]));
  const isKept = keptBy(places);
  const seenFile = join(workDirectory, 'scan-seen');
  filterRecords(scanFile, seenFile, (path) => {
    if (wanted.has(path)) seen.add(path);
    return !isKept(path);
  });
  const lifted = topmostPlaces(
    places.map((place) => {
      const gone = [place.path, ...upwards(place.path)].findLast((path) => !seen.has(path));
      return gone === undefined ? place : { ...place, path: gone, extent: 'whole' };
    }),
  );
  if (before === undefined) return { file: seenFile, places: lifted };
  const keptFile = join(workDirectory, 'scan-kept');
  filterRecords(before, keptFile, keptBy(lifted));
  const file = join(workDirectory, 'scan-with-kept');
  await run(['sort', '-z', '-m', '-o', file, '--', seenFile, keptFile], { timeoutMs: 0 });
  return { file, places: lifted };
}

const pieceBytes = 1024 * 1024;

/** Writes the records of one file whose paths are wanted into another. */
function filterRecords(from: string, to: string, isWanted: (path: string) => boolean): void {
  const source = openSource(from);
  const target = openSync(to, 'w', 0o600);
  let waiting: string[] = [];
  let bytes = 0;
  const flush = () => {
    const piece = Buffer.from(waiting.join(''), 'latin1');
    for (let written = 0; written < piece.length; ) written += writeSync(target, piece, written);
    waiting = [];
    bytes = 0;
  };
  try {
    eachRecord(source.next, (record) => {
      if (!isWanted(record.slice(0, record.lastIndexOf(pathEnd)))) return;
      waiting.push(`${record}\0`);
      bytes += record.length + 1;
      if (bytes >= pieceBytes) flush();
    });
    flush();
  } finally {
    closeSync(target);
    source.close();
  }
}
