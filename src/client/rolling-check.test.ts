import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { formatRecord } from '../catalogue/record.ts';
import { type Due, duePart } from './rolling-check.ts';

const directory = mkdtempSync(join(tmpdir(), 'byteback-rolling-'));
afterAll(() => rmSync(directory, { recursive: true }));

const dayMs = 24 * 3_600_000;
const everyMs = 30 * dayMs;

/** A tree of so many directories with ten files of 10,000 bytes in each. */
function makeTree(directories: number) {
  const entry = (path: string, type: string, sizeBytes: number) =>
    formatRecord({ path, type, sizeBytes, mtime: '1', ctime: '1', inode: '1', links: 1, rights: '644 0 0' });
  const records: string[] = [entry('/srv', 'd', 4096)];
  const names: string[] = ['/srv'];
  for (let at = 0; at < directories; at += 1) {
    const path = `/srv/d${String(at).padStart(5, '0')}`;
    names.push(path);
    records.push(entry(path, 'd', 4096));
    for (let file = 0; file < 10; file += 1) records.push(entry(`${path}/f${file}`, 'f', 10_000));
  }
  const file = join(directory, `records-${directories}`);
  writeFileSync(file, records.map((record) => `${record}\0`).join(''));
  return { file, taken: () => true, totals: { files: directories * 10, bytes: directories * 100_000 }, names };
}

describe('the part that is due', () => {
  it.each([
    ['daily', 600, dayMs],
    ['daily, of a small tree', 40, dayMs],
    ['hourly, of a small tree', 40, dayMs / 24],
    ['weekly', 600, 7 * dayMs],
  ])('comes round to every directory in the time for all: %s', (_, directories, stepMs) => {
    const { names, ...tree } = makeTree(directories);
    let last: Pick<Due, 'checkedUpTo' | 'checkedAt'> = { checkedUpTo: '', checkedAt: 0 };
    const seen = new Map<string, number>();
    // Twice the time: wherever it began, all was looked at once.
    for (let now = stepMs; now <= 2 * everyMs; now += stepMs) {
      const due = duePart({ ...tree, last }, { now, everyMs });
      for (const path of due.directories) seen.set(path, (seen.get(path) ?? 0) + 1);
      last = due;
    }
    expect([...seen.keys()].toSorted()).toEqual(names);
    expect(Math.max(...seen.values())).toBeLessThanOrEqual(3);
  });

  it('is nothing, and goes on where it was, when so little is due that it is not worth a session', () => {
    const { names: _, ...tree } = makeTree(600);
    const last = { checkedUpTo: '/srv/d00100/f9', checkedAt: 0 };
    expect(duePart({ ...tree, last }, { now: 60_000, everyMs })).toEqual({ ...last, directories: [], files: [] });
    const due = duePart({ ...tree, last }, { now: dayMs, everyMs });
    expect(due.directories[0]).toBe('/srv/d00101');
    expect(due.directories).toHaveLength(20);
    expect(due.files).toHaveLength(200);
    expect(due.files[0]).toBe('/srv/d00101/f0');
  });
});
