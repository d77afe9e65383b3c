import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emptyHistory, type History, recordDeletion, recordRun } from '../../src/retention/history.ts';
import { pruneStepByStep } from '../../src/retention/steps.ts';
import { prune } from '../../src/server/prune/prune.ts';
import type { PruneReport } from '../../src/server/prune/types.ts';
import { listSnapshotNames } from '../../src/server/store.ts';
import { freeSpace } from '../../src/system/btrfs.ts';
import { makeSmallStore, SmallClient, type SmallStore } from '../helpers/small-store.ts';

const dayMs = 86_400_000;
const mebibyte = 1024 * 1024;
const firstDay = Date.parse('2026-01-01T03:00:00Z');

/** A planner of the test's own, fed with nothing but the sizes that the disk was seen to give. */
class Shadow {
  readonly histories = new Map<string, History>();
  readonly #linesRead = new Map<string, number>();

  async readRuns(ledgerFile: string): Promise<void> {
    const lines = (await readFile(ledgerFile, 'utf8')).trim().split('\n');
    for (const line of lines.slice(this.#linesRead.get(ledgerFile) ?? 0)) {
      const { event, client, snapshot, writtenBytes, diedBytes } = JSON.parse(line);
      if (event !== 'run') continue;
      const history = this.histories.get(client) ?? emptyHistory();
      this.histories.set(client, history);
      const [date, time] = snapshot.split('T');
      const at = Date.parse(`${date}T${time.slice(0, 2)}:${time.slice(2, 4)}:${time.slice(4, 6)}Z`);
      recordRun(history, { name: snapshot, time: at, status: 'ok', writtenBytes, diedBytes });
    }
    this.#linesRead.set(ledgerFile, lines.length);
  }

  /** Goes through a prune again and expects the very same deletions. */
  repeat({ deleted, aimBytes, freeBytesBefore, outcome }: PruneReport, now: number): void {
    let freeBytes = freeBytesBefore;
    const look = () => ({
      now,
      freeBytes,
      holds: [],
      clients: [...this.histories].map(([name, { entries, middleYield }]) => ({
        name,
        policy: { weight: 1, keepLast: 3 },
        snapshots: entries,
        middleYield,
      })),
    });
    const steps = pruneStepByStep(look, { freeBytes: aimBytes ?? 0, order: 'importance' });
    for (const deletion of deleted) {
      const { value, done } = steps.next();
      expect(done).toBe(false);
      expect(value).toMatchObject({ client: deletion.client, snapshot: { name: deletion.snapshot } });
      recordDeletion(this.histories.get(deletion.client) ?? emptyHistory(), deletion.snapshot, deletion.freedBytes);
      freeBytes = deletion.freeBytes;
    }
    if (outcome === 'reached') expect(steps.next().done).toBe(true);
  }
}

describe('400 days of three clients on 1 GiB', () => {
  let small: SmallStore;
  const clients: SmallClient[] = [];

  beforeAll(async () => {
    small = await makeSmallStore(1024 * mebibyte);
    for (const [index, name] of ['web1', 'db1', 'mail1'].entries()) {
      clients.push(new SmallClient(small.store, name, (index + 1) * 256 * 1024));
    }
    for (const client of clients) await client.create();
  });
  afterAll(async () => {
    await small?.remove();
  });

  it('never runs out of space, prunes from 5 % to 10 %, and keeps what the plan says', {
    timeout: 900_000,
  }, async () => {
    const { store, config, clock, log } = small;
    const deps = { config, store, clock, log };
    const files = Array.from({ length: 75 }, (_, index) => `file-${index}`);
    const shadow = new Shadow();
    let leastFree = 1;
    let prunes = 0;
    for (let day = 0; day < 400; day += 1) {
      for (const [index, client] of clients.entries()) {
        const time = firstDay + day * dayMs + index * 3_600_000;
        clock.set(time);
        const changed = day === 0 ? files : files.filter((_, file) => (file * 7 + day * 13) % 24 === 0);
        await client.write(changed);
        await client.snapshot(time, changed.length);
      }
      const report = await prune({ mode: 'run', order: 'importance' }, deps);
      const { freeBytes, totalBytes } = await freeSpace(store.root);
      leastFree = Math.min(leastFree, freeBytes / totalBytes, report.freeBytesBefore / totalBytes);
      await shadow.readRuns(join(store.stateDir, 'ledger', `${clock.now().getUTCFullYear()}.jsonl`));
      shadow.repeat(report, clock.now().getTime());
      expect(report.why).toBeUndefined();
      if (report.deleted.length === 0) {
        expect(report.freeBytesBefore).toBeGreaterThanOrEqual(0.05 * totalBytes);
        continue;
      }
      prunes += 1;
      expect(report.freeBytesBefore).toBeLessThan(0.125 * totalBytes);
      expect(report.freeBytesAfter).toBeGreaterThanOrEqual(0.1 * totalBytes);
      // It stopped as soon as there was enough.
      expect(report.deleted.at(-2)?.freeBytes ?? 0).toBeLessThan(report.aimBytes ?? 0);
    }
    expect(prunes).toBeGreaterThan(10);
    expect(leastFree).toBeGreaterThan(0.03);
    for (const { name } of clients) {
      const kept = await listSnapshotNames(store, name);
      expect(kept).toEqual(shadow.histories.get(name)?.entries.map((entry) => entry.name));
      expect(kept.length).toBeGreaterThan(10);
    }
    expect(log.lines.filter((line) => line.startsWith('pruning ')).length).toBe(
      log.lines.filter((line) => line.startsWith('pruned ')).length,
    );
  });
});
