import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseRunId } from '../../src/protocol/names.ts';
import { readEvents } from '../../src/server/events.ts';
import { readHolds } from '../../src/server/holds.ts';
import { admit } from '../../src/server/prune/admit.ts';
import { makeRoom } from '../../src/server/prune/make-room.ts';
import { prune } from '../../src/server/prune/prune.ts';
import type { PruneDeps } from '../../src/server/prune/types.ts';
import { recordTransfer } from '../../src/server/runs/event.ts';
import { settleCurrent } from '../../src/server/runs/give-back.ts';
import { readRecord } from '../../src/server/runs/record.ts';
import { listSnapshotNames } from '../../src/server/store.ts';
import { bootId } from '../../src/system/boot-id.ts';
import { freeSpace } from '../../src/system/btrfs.ts';
import { must } from '../helpers/command.ts';
import { fillUpTo, makeSmallStore, SmallClient, type SmallStore } from '../helpers/small-store.ts';

// Who pays for room on the store, and whether what is done for it helps.

const dayMs = 86_400_000;
const mebibyte = 1024 * 1024;
const firstDay = Date.parse('2026-01-01T03:00:00Z');
let small: SmallStore;
let deps: PruneDeps;

beforeEach(async () => {
  small = await makeSmallStore(768 * mebibyte);
  deps = { store: small.store, config: small.config, clock: small.clock, log: small.log };
});
afterEach(async () => {
  await small.remove();
});

async function daysOf(
  name: string,
  days: number,
  { files, fileBytes, perDay }: { files: number; fileBytes: number; perDay: number },
  afterEachDay: (client: SmallClient, day: number) => Promise<void> = async () => undefined,
): Promise<SmallClient> {
  const client = new SmallClient(small.store, name, fileBytes);
  await client.create();
  await client.write(Array.from({ length: files }, (_, index) => `file-${index}`));
  for (let day = 0; day < days; day += 1) {
    if (day > 0)
      await client.write(Array.from({ length: perDay }, (_, index) => `file-${(day * perDay + index) % files}`));
    await client.snapshot(firstDay + day * dayMs, perDay);
    await afterEachDay(client, day);
  }
  small.clock.set(firstDay + (days - 1) * dayMs + 3_600_000);
  return client;
}
const count = async (client: SmallClient) => (await listSnapshotNames(small.store, client.name)).length;
const free = async () => {
  await must(['sync', '-f', small.store.root]);
  return (await freeSpace(small.store.root)).freeBytes;
};

describe('pruning that does not help', () => {
  it('stops after two, names what holds the space, stays stopped, and goes on when that is gone', async () => {
    await must(['mkdir', join(small.store.root, 'snapper')]);
    const client = await daysOf('web1', 14, { files: 20, fileBytes: 512 * 1024, perDay: 10 }, async ({ name }, day) => {
      const to = join(small.store.root, 'snapper', String(day));
      await must(['btrfs', 'subvolume', 'snapshot', '-r', small.store.currentDir(name), to]);
    });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const target = { mode: 'run', order: 'importance', freeTarget: (await free()) + 20 * mebibyte } as const;
    const first = await prune(target, deps);
    expect(first).toMatchObject({ outcome: 'short', why: expect.stringContaining('deleting does not help') });
    expect(first.deleted).toHaveLength(2);
    expect(first.holders).toMatch(/14 subvolumes that are not byteback's \(snapper/);
    expect(await prune(target, deps)).toMatchObject({ outcome: 'refused', deleted: [] });
    expect(await count(client)).toBe(12);
    const events = await readEvents(small.store, { uncounted: true });
    expect(events.filter(({ kind }) => kind === 'pruning-in-vain')).toHaveLength(1);
    for (let day = 0; day < 14; day += 1) {
      await must(['btrfs', 'subvolume', 'delete', join(small.store.root, 'snapper', String(day))]);
    }
    await must(['btrfs', 'subvolume', 'sync', small.store.root]);
    const after = await prune({ ...target, freeTarget: (await free()) + 5 * mebibyte }, deps);
    expect(after.outcome).toBe('reached');
  });
});

describe('an aim that is out of reach', () => {
  it('costs nobody a snapshot, and says how far it would come and who holds the space', async () => {
    const client = await daysOf('web1', 12, { files: 20, fileBytes: 256 * 1024, perDay: 2 });
    const report = await prune({ mode: 'run', order: 'importance', freeTarget: { percent: 99 } }, deps);
    expect(report).toMatchObject({ outcome: 'short', deleted: [], why: expect.stringContaining('no more than') });
    expect(report.holders).toContain('current of web1');
    expect(await count(client)).toBe(12);
  });
});

describe('a run that is announced', () => {
  it('costs nobody a snapshot by its word; room is made in a step, only when it is used up', async () => {
    const client = await daysOf('web1', 30, { files: 20, fileBytes: mebibyte, perDay: 10 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const fresh = new SmallClient(small.store, 'fresh', mebibyte);
    await fresh.create();
    const before = await count(client);
    const freeBytes = await free();
    for (const part of [0.93, 1, 1.05, 1.1, 1.2]) {
      await admit(fresh.name, Math.floor(freeBytes * part), deps).catch(() => undefined);
    }
    expect(await count(client)).toBe(before);
    const growth = await admit(fresh.name, 0, deps);
    expect(await makeRoom(fresh.name, { growth, expectedBytes: 0 }, deps)).toBeUndefined();
    expect(await count(client)).toBe(before);
  });
});

describe('a client whose word is false', () => {
  it('that it grew while it rewrites one file, pays for its own history', async () => {
    const honest = await daysOf('web1', 12, { files: 20, fileBytes: mebibyte, perDay: 2 });
    // Its records say that its tree grew by all that it wrote.
    await daysOf('liar', 12, { files: 1, fileBytes: 20 * mebibyte, perDay: 1 }, async (client, day) => {
      client.claimedBytes = (day + 2) * 20 * mebibyte;
    });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const report = await prune({ mode: 'run', order: 'importance', freeTarget: (await free()) + 60 * mebibyte }, deps);
    expect(`${report.outcome} ${report.why} ${small.log.lines.slice(-12).join('|')}`).toMatch(/^reached /);
    expect(new Set(report.deleted.map(({ client }) => client))).toEqual(new Set(['liar']));
    expect(await count(honest)).toBe(12);
  });
});

describe('a client that rewrites everything each night', () => {
  it('is paused, told, and by habit pruned again', async () => {
    const client = new SmallClient(small.store, 'db1', 256 * 1024);
    await client.create();
    const files = Array.from({ length: 20 }, (_, index) => `dump-${index}`);
    for (let day = 0; day < 8; day += 1) {
      await client.write(files);
      await client.snapshot(firstDay + day * dayMs, 20);
      small.clock.set(firstDay + day * dayMs + 3_600_000);
      await prune({ mode: 'run', order: 'importance' }, deps);
      if (day === 1) expect((await readHolds(small.store)).paused).toHaveLength(1);
    }
    expect((await readHolds(small.store)).paused).toEqual([]);
    const kinds = (await readEvents(small.store, { uncounted: true })).map(({ kind }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(['destroys', 'pause-ended']));
  });
});

describe('a run that ends for want of room', () => {
  const open = async (client: SmallClient) => {
    const run = parseRunId('ab'.repeat(16));
    if (run === undefined) throw new Error('no run id');
    const last = await readRecord(small.store.runFile(client.name));
    const record = { ...last, run, state: 'open', bootId: bootId(), transfers: [] };
    await writeFile(small.store.runFile(client.name), JSON.stringify(record));
    return run;
  };

  it('gives back what it took, and a crash at any step is mended', async () => {
    const { store, clock } = small;
    const client = await daysOf('web1', 3, { files: 4, fileBytes: mebibyte, perDay: 1 });
    const run = await open(client);
    await fillUpTo(join(store.fsDir(client.name), 'flood'), 100 * mebibyte);
    const before = await free();
    const failure = { ok: false, exit: 'storeFull', what: 'the store is full' } as const;
    await recordTransfer(client.name, { run, exitCode: 11, failure }, { store, clock });
    await must(['btrfs', 'subvolume', 'sync', store.root]);
    expect((await free()) - before).toBeGreaterThan(90 * mebibyte);
    expect((await readdir(store.fsDir(client.name))).length).toBe(4);
    expect(await readRecord(store.runFile(client.name))).toMatchObject({
      run,
      state: 'open',
      transfers: [{ failure }],
    });

    const [current, next, old] = ['current', '.current-next', '.current-old'].map((name) =>
      join(store.clientDir(client.name), name),
    ) as [string, string, string];
    const settled = async () => {
      await settleCurrent(store, client.name);
      expect((await readdir(store.clientDir(client.name))).toSorted()).toEqual(['current', 'lock', 'snapshots']);
      expect((await stat(current)).ino).toBe(256);
    };
    await must(['btrfs', 'subvolume', 'snapshot', current, next]);
    await settled();
    await must(['btrfs', 'subvolume', 'snapshot', current, next]);
    await must(['mv', current, old]);
    await settled();
    await must(['btrfs', 'subvolume', 'snapshot', current, old]);
    await settled();
  });
});
