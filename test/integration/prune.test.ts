import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prune } from '../../src/server/prune/prune.ts';
import { listSnapshotNames } from '../../src/server/store.ts';
import { freeSpace } from '../../src/system/btrfs.ts';
import { makeSmallStore, SmallClient, type SmallStore } from '../helpers/small-store.ts';

const dayMs = 86_400_000;
const mebibyte = 1024 * 1024;
const firstDay = Date.parse('2026-01-01T03:00:00Z');

describe('400 days of three clients on 1 GiB', () => {
  let small: SmallStore;
  const clients: SmallClient[] = [];
  let least = Number.POSITIVE_INFINITY;
  const planned = new Set<string>();

  beforeAll(async () => {
    small = await makeSmallStore(1024 * mebibyte);
    for (const [index, name] of ['web1', 'db1', 'mail1'].entries()) {
      clients.push(new SmallClient(small.store, name, (index + 1) * 128 * 1024));
    }
    for (const client of clients) await client.create();
  });
  afterAll(async () => {
    await small?.remove();
  });

  it('never runs out of space, and keeps what the plan says', { timeout: 900_000 }, async () => {
    const { store, config, clock, log } = small;
    const deps = { config, store, clock, log };
    const files = Array.from({ length: 150 }, (_, index) => `file-${index}`);
    const begin = performance.now();
    for (let day = 0; day < Number(process.env['DAYS'] ?? 400); day += 1) {
      for (const [index, client] of clients.entries()) {
        const time = firstDay + day * dayMs + index * 3_600_000;
        clock.set(time);
        const changed = day === 0 ? files : files.filter((_, file) => (file * 7 + day * 13) % 12 === 0);
        await client.write(changed);
        await client.snapshot(time, changed.length);
        const report = await prune({ mode: 'run', order: 'importance' }, deps);
        for (const { client: name, snapshot } of report.deleted) planned.add(`${name}/${snapshot}`);
        const { freeBytes, totalBytes } = await freeSpace(store.root);
        least = Math.min(least, freeBytes / totalBytes);
        if (report.deleted.length > 0) {
          expect(report.freeBytesBefore / report.totalBytes).toBeLessThan(0.125);
          if (process.env['SHOW'])
            console.log(
              day,
              client.name,
              report.outcome,
              report.deleted.length,
              ((100 * report.freeBytesBefore) / report.totalBytes).toFixed(1),
              ((100 * report.freeBytesAfter) / report.totalBytes).toFixed(1),
              report.why ?? '',
            );
        }
      }
    }
    if (process.env['SHOW']) console.log('took', performance.now() - begin, least, log.lines.slice(-30).join('\n'));
    expect(least).toBeGreaterThan(0);
    for (const { name } of clients) expect((await listSnapshotNames(store, name)).length).toBeGreaterThanOrEqual(3);
  });
});
