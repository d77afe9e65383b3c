import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type KeptPlace, keepRecords, keptBy, topmostPlaces } from './kept.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-kept-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const place = (path: string, extent: KeptPlace['extent'] = 'contents'): KeptPlace => ({ path, extent, why: 'a test' });
const write = (name: string, paths: readonly string[], rest: string) => {
  const file = join(directory, name);
  writeFileSync(file, Buffer.from(paths.map((path) => `${path}\x01${rest}\0`).join(''), 'latin1'));
  return file;
};
async function keep(scan: string[], before: string[] | undefined, places: KeptPlace[]) {
  const old = before === undefined ? undefined : write('old', before, 'old');
  const kept = await keepRecords(write('new', scan, 'new'), old, places, directory);
  const records = readFileSync(kept.file, 'latin1').split('\0').filter(Boolean);
  return { records: records.map((record) => record.replace('\x01', ' ')), places: kept.places };
}

it('knows what belongs to a place by whole names', () => {
  const isKept = keptBy([place('/a'), place('/b/c', 'whole')]);
  expect(['/a', '/a/x', '/a-b', '/ab', '/b/c', '/b/c/d', '/b'].filter(isKept)).toEqual(['/a/x', '/b/c', '/b/c/d']);
});

it('keeps the outermost places, and of two for one path the one that keeps more', () => {
  const places = [place('/a/b'), place('/a', 'whole'), place('/a'), place('/ab')];
  expect(topmostPlaces(places).map(({ path, extent }) => `${path} ${extent}`)).toEqual(['/a whole', '/ab contents']);
});

it('goes on with the records from before, in order, and drops what a scan saw of a place in part', async () => {
  const before = ['/s', '/s/a', '/s/m', '/s/m-x', '/s/m/one', '/s/m/\xff', '/s/z'];
  const { records, places } = await keep(['/s', '/s/a', '/s/m', '/s/m-x', '/s/m/two', '/s/z'], before, [place('/s/m')]);
  expect(places).toEqual([place('/s/m')]);
  expect(records).toEqual(
    ['/s new', '/s/a new', '/s/m new', '/s/m-x new', '/s/m/one old', '/s/m/\xff old', '/s/z new'].sort(),
  );
});

it('keeps a place that is gone with the directories that it lay in', async () => {
  const { records, places } = await keep(['/s'], ['/s', '/s/m', '/s/m/n', '/s/m/n/one'], [place('/s/m/n')]);
  expect(places).toEqual([place('/s/m', 'whole')]);
  expect(records).toEqual(['/s new', '/s/m old', '/s/m/n old', '/s/m/n/one old']);
});

it('has nothing to go on with where no catalogue is', async () => {
  const { records } = await keep(['/s', '/s/m', '/s/m/one'], undefined, [place('/s/m')]);
  expect(records).toEqual(['/s new', '/s/m new']);
});
