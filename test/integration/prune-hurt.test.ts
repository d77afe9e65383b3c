import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServerConfig } from '../../src/config/server-config.ts';
import type { RunRecord } from '../../src/protocol/run-record.ts';
import { holdSnapshot, readHolds, releaseSnapshot } from '../../src/server/holds.ts';
import { admit } from '../../src/server/prune/admit.ts';
import { readSnapshots } from '../../src/server/prune/contents.ts';
import { prune } from '../../src/server/prune/prune.ts';
import type { PruneDeps } from '../../src/server/prune/types.ts';
import { listSnapshotNames } from '../../src/server/store.ts';
import { filesystemUsage, freeSpace } from '../../src/system/btrfs.ts';
import { must } from '../helpers/command.ts';
import { fillUpTo, fillWith, makeSmallStore, SmallClient, type SmallStore } from '../helpers/small-store.ts';

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));
const dayMs = 86_400_000;
const mebibyte = 1024 * 1024;
const firstDay = Date.parse('2026-01-01T03:00:00Z');

let small: SmallStore;
let deps: PruneDeps;

beforeEach(async () => {
  small = await makeSmallStore(1024 * mebibyte);
  deps = { store: small.store, config: small.config, clock: small.clock, log: small.log };
});
afterEach(async () => {
  await small.remove();
});

/** As much as can be freed at all, a little less: what cannot be reached deletes nothing. */
async function nearlyAll(order: 'importance' | 'age' = 'importance'): Promise<number> {
  const all = { mode: 'dry-run', order, freeTarget: { percent: 100 } } as const;
  const { reachableBytes, freeBytesBefore } = await prune(all, deps);
  return Math.floor((reachableBytes ?? freeBytesBefore) - 64 * 1024);
}

/** Days of one client with files of a size; each day some are rewritten. */
async function daysOf(
  name: string,
  days: number,
  { files, fileBytes, perDay }: { files: number; fileBytes: number; perDay: number },
): Promise<SmallClient> {
  const client = new SmallClient(small.store, name, fileBytes);
  await client.create();
  await client.write(Array.from({ length: files }, (_, index) => `file-${index}`));
  for (let day = 0; day < days; day += 1) {
    const changed = Array.from({ length: perDay }, (_, index) => `file-${(day * perDay + index) % files}`);
    if (day > 0) await client.write(changed);
    await client.snapshot(firstDay + day * dayMs, perDay);
  }
  small.clock.set(firstDay + (days - 1) * dayMs + 3_600_000);
  return client;
}

describe('a disk that is full', () => {
  it('of data, filled from outside: the next prune makes room again', async () => {
    const client = await daysOf('web1', 40, { files: 60, fileBytes: 512 * 1024, perDay: 30 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    await fillWith(join(small.store.root, 'outside'));
    await expect(writeFile(join(small.store.root, 'one-more'), Buffer.alloc(mebibyte, 1))).rejects.toThrow('ENOSPC');
    await rm(join(small.store.root, 'one-more'), { force: true });

    const report = await prune({ mode: 'run', order: 'importance' }, deps);
    expect(report).toMatchObject({ outcome: 'reached' });
    expect(report.freeBytesAfter).toBeGreaterThanOrEqual(0.1 * report.totalBytes);
    await writeFile(join(small.store.root, 'one-more'), Buffer.alloc(50 * mebibyte, 1), { flush: true });
    expect((await listSnapshotNames(small.store, client.name)).length).toBeGreaterThanOrEqual(3);
  });

  it('of data, with nothing left that may go: says so, and deletes nothing of what is protected', async () => {
    const client = await daysOf('web1', 3, { files: 20, fileBytes: 512 * 1024, perDay: 5 });
    await fillWith(join(small.store.root, 'outside'));
    const report = await prune({ mode: 'run', order: 'importance' }, deps);
    expect(report).toMatchObject({
      outcome: 'short',
      why: expect.stringContaining('everything that is left is protected'),
      deleted: [],
    });
    expect(await listSnapshotNames(small.store, client.name)).toHaveLength(3);
    await expect(admit(client.name, 10 * mebibyte, deps)).rejects.toExitWith(13);
  });

  it('of metadata, filled from outside: the next prune makes room again', async () => {
    await daysOf('web1', 40, { files: 60, fileBytes: 512 * 1024, perDay: 30 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    // All is given to data, which are then half empty: room for data, none for more metadata.
    const outside = join(small.store.root, 'outside');
    await mkdir(outside);
    for (let file = 0; file < 1000; file += 1) {
      if ((await fillUpTo(join(outside, `data-${file}`), 2 * mebibyte)) === 'full') break;
    }
    for (const name of await readdir(outside)) if (Number(name.slice(5)) % 2 === 0) await rm(join(outside, name));
    await must(['sync', '-f', small.store.root]);
    // Files of 2,000 bytes lie in the metadata themselves.
    let full = false;
    for (let file = 0; !full && file < 100_000; file += 1) {
      full = (await fillUpTo(join(outside, `small-${file}`), 2000)) === 'full';
    }
    expect(full).toBe(true);
    const report = await prune({ mode: 'run', order: 'importance' }, deps);
    expect(report.outcome).toBe('reached');
    expect(report.deleted.length).toBeLessThan(20);
    const { metadataSizeBytes, metadataUsedBytes } = await filesystemUsage(small.store.root);
    expect(metadataSizeBytes - metadataUsedBytes).toBeGreaterThan(30 * mebibyte);
    for (let file = 0; file < 500; file += 1) await writeFile(join(outside, `more-${file}`), Buffer.alloc(2000, file));
    await must(['sync', '-f', small.store.root]);
  });
});

describe('a pruner that is killed', () => {
  it('at 50 random moments: nothing is lost but what its plan named, and the next one goes on', {
    timeout: 600_000,
  }, async () => {
    await daysOf('web1', 120, { files: 40, fileBytes: 64 * 1024, perDay: 10 });
    await daysOf('db1', 120, { files: 40, fileBytes: 64 * 1024, perDay: 10 });
    const { store, clock } = small;
    const ledger = join(store.stateDir, 'ledger', '2026.jsonl');
    let before = await allSnapshots();
    let killedAtWork = 0;
    for (let round = 0; round < 50; round += 1) {
      const { freeBytes } = await freeSpace(store.root);
      const linesBefore = await linesOf(ledger);
      const child = spawn(process.execPath, [
        join(import.meta.dirname, '../helpers/prune-child.ts'),
        store.root,
        String(clock.now().getTime()),
        String(freeBytes + 4 * mebibyte),
      ]);
      const ended = new Promise((done) => child.on('close', done));
      // From the moment that it is at work, a little later each time.
      while (child.exitCode === null && (await linesOf(ledger)).length === linesBefore.length) await sleep(5);
      await sleep((round * 7) % 120);
      child.kill('SIGKILL');
      await ended;
      const after = await allSnapshots();
      // What a killed pruner had asked btrfs for may be done a moment later: it was announced in an earlier round then.
      const lost = before.filter((snapshot) => !after.includes(snapshot));
      const announced = (await linesOf(ledger))
        .filter(({ event }) => event === 'pruning')
        .map(({ client, snapshot }) => `${client}/${snapshot}`);
      for (const snapshot of lost) expect(announced).toContain(snapshot);
      if (lost.length > 0) killedAtWork += 1;
      before = after;
    }
    expect(killedAtWork).toBeGreaterThan(5);
    const report = await prune({ mode: 'run', order: 'importance' }, deps);
    expect(['enough', 'reached']).toContain(report.outcome);
    for (const client of ['web1', 'db1']) {
      expect(before.filter((snapshot) => snapshot.startsWith(client)).length).toBeGreaterThanOrEqual(3);
    }
    await must(['btrfs', 'subvolume', 'sync', store.root]);
    const { stdout } = await must(['btrfs', 'scrub', 'start', '-B', store.root]);
    expect(stdout).toContain('no errors found');
  });

  async function allSnapshots(): Promise<string[]> {
    return [...(await readSnapshots(small.store)).values()].flat().map(({ client, name }) => `${client}/${name}`);
  }

  async function linesOf(path: string): Promise<{ event: string; client: string; snapshot: string }[]> {
    const text = await readFile(path, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }
});

describe('the guards', () => {
  it('a run that is suddenly much larger is refused when history would pay, until the admin allows it', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const { freeBytes } = await freeSpace(small.store.root);
    const huge = freeBytes - 20 * mebibyte;
    await expect(admit(client.name, huge, deps)).rejects.toMatchObject({
      exitCode: 13,
      explanation: { fix: expect.stringContaining('byteback client allow-growth web1') },
    });
    expect((await readHolds(small.store)).holds).toMatchObject([
      { client: 'web1', by: 'growth-guard', snapshot: (await listSnapshotNames(small.store, client.name)).at(-1) },
    ]);
    // One that fits beside all that is there costs nobody anything.
    await expect(admit(client.name, freeBytes / 2, deps)).resolves.toMatchObject({ limitBytes: freeBytes / 2 });
  });

  it('a run that destroys is taken; the snapshot before it is held and pruning paused until it is released', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const lastGood = (await listSnapshotNames(small.store, client.name)).at(-1) ?? '';
    await client.removeFiles(Array.from({ length: 30 }, (_, index) => `file-${index}`));
    const time = firstDay + 12 * dayMs;
    await client.snapshot(time, 0);
    small.clock.set(time + 3_600_000);
    await prune({ mode: 'run', order: 'importance' }, deps);
    const holds = await readHolds(small.store);
    expect(holds.holds).toMatchObject([{ client: 'web1', snapshot: lastGood, by: 'destruction-guard' }]);
    expect(holds.paused).toMatchObject([{ client: 'web1', reason: '75 % of its 40 files are gone' }]);

    const forced = await prune({ mode: 'run', order: 'importance', freeTarget: { percent: 99 } }, deps);
    expect(forced).toMatchObject({ outcome: 'short', deleted: [] });
    expect(await releaseSnapshot(small.store, small.clock, client.name, lastGood)).toEqual({
      released: true,
      resumed: true,
    });
    const after = await prune({ mode: 'run', order: 'importance', freeTarget: await nearlyAll() }, deps);
    expect(after.deleted.length).toBeGreaterThan(5);
  });

  const oneFile = { durationMs: 1, wireBytes: 1, sentBytes: 0, sentFiles: 0, files: 1, totalBytes: 10, retries: 0 };

  it('a run of single sources is compared with nothing, and neither is the run after it with that', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const runs: [number, Partial<RunRecord>][] = [
      [12, { whole: false, figures: oneFile }],
      [13, { whole: false, figures: { ...oneFile, files: 0, totalBytes: 0 } }],
      [14, { whole: true }],
    ];
    for (const [day, record] of runs) {
      await client.snapshot(firstDay + day * dayMs, 0, record);
      small.clock.set(firstDay + day * dayMs + 3_600_000);
      await prune({ mode: 'run', order: 'importance' }, deps);
      expect(await readHolds(small.store), `day ${day}`).toMatchObject({ holds: [], paused: [] });
    }
    // The whole tree is still judged by the last whole one.
    await client.removeFiles(Array.from({ length: 30 }, (_, index) => `file-${index}`));
    await client.snapshot(firstDay + 15 * dayMs, 0, { whole: true });
    small.clock.set(firstDay + 15 * dayMs + 3_600_000);
    await prune({ mode: 'run', order: 'importance' }, deps);
    expect((await readHolds(small.store)).paused).toMatchObject([{ reason: '75 % of its 40 files are gone' }]);
  });

  it('a disaster that was none ends by itself with the next whole run', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    // As an earlier version recorded it: nothing says that it was a part only.
    await client.snapshot(firstDay + 12 * dayMs, 0, { figures: oneFile });
    small.clock.set(firstDay + 12 * dayMs + 3_600_000);
    await prune({ mode: 'run', order: 'importance' }, deps);
    expect((await readHolds(small.store)).paused).toMatchObject([{ reason: '98 % of its 40 files are gone' }]);
    await client.snapshot(firstDay + 13 * dayMs, 0, { whole: true });
    small.clock.set(firstDay + 13 * dayMs + 3_600_000);
    await prune({ mode: 'run', order: 'importance' }, deps);
    expect(await readHolds(small.store)).toMatchObject({ holds: [], paused: [] });
  });

  it('what was deleted and came again as something else stays a disaster', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const names = Array.from({ length: 40 }, (_, index) => `file-${index}`);
    await client.removeFiles(names);
    await client.snapshot(firstDay + 12 * dayMs, 0);
    small.clock.set(firstDay + 12 * dayMs + 3_600_000);
    await prune({ mode: 'run', order: 'importance' }, deps);
    await client.write(names);
    await client.snapshot(firstDay + 13 * dayMs, 40, { whole: true });
    small.clock.set(firstDay + 13 * dayMs + 3_600_000);
    await prune({ mode: 'run', order: 'importance' }, deps);
    expect((await readHolds(small.store)).paused).toMatchObject([{ reason: 'all of its 40 files are gone' }]);
  });

  it('a held snapshot stays whatever is asked', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    const [oldest = ''] = await listSnapshotNames(small.store, client.name);
    await holdSnapshot(small.store, small.clock, {
      client: client.name,
      snapshot: oldest,
      reason: 'a test',
      by: 'admin',
    });
    const unreachable = await prune({ mode: 'run', order: 'age', freeTarget: { percent: 100 } }, deps);
    expect(unreachable).toMatchObject({ outcome: 'short', deleted: [], why: expect.stringContaining('no more than') });
    await prune({ mode: 'run', order: 'age', freeTarget: await nearlyAll('age') }, deps);
    const left = await listSnapshotNames(small.store, client.name);
    expect(left.length).toBeLessThan(12);
    expect(left[0]).toBe(oldest);
  });

  it('a clock that jumped prunes nothing', async () => {
    const client = await daysOf('web1', 12, { files: 40, fileBytes: 256 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const force = { mode: 'run', order: 'importance', freeTarget: { percent: 99 } } as const;
    const now = small.clock.now().getTime();
    for (const jump of [-90 * dayMs, 400 * dayMs]) {
      small.clock.set(now + jump);
      expect(await prune(force, deps)).toMatchObject({
        outcome: 'refused',
        deleted: [],
        why: expect.stringContaining('the clock says'),
      });
    }
    expect(await listSnapshotNames(small.store, client.name)).toHaveLength(12);
    small.clock.set(now + 400 * dayMs);
    const reachable = { ...force, freeTarget: await nearlyAll(), confirm: true };
    expect((await prune(reachable, deps)).deleted).toHaveLength(9);
  });

  it('changed settings that would delete more than a tenth wait for a word of the admin', async () => {
    const client = await daysOf('web1', 30, { files: 40, fileBytes: 512 * 1024, perDay: 20 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const { freeBytes, totalBytes } = await freeSpace(small.store.root);
    const freePercent = (100 * freeBytes) / totalBytes;
    const prunedAt = {
      ...small.config,
      prune: { ...small.config.prune, startPercent: freePercent + 5, stopPercent: freePercent + 6 },
    };
    const waiting = await prune({ mode: 'run', order: 'importance' }, { ...deps, config: prunedAt });
    expect(waiting.deleted).toEqual([]);
    expect(small.log.lines.join('\n')).toContain('byteback-prune --confirm');
    expect(await listSnapshotNames(small.store, client.name)).toHaveLength(30);
    const confirmed = await prune({ mode: 'run', order: 'importance', confirm: true }, { ...deps, config: prunedAt });
    expect(confirmed.deleted.length).toBeGreaterThan(3);
  });
});

describe('an age limit', () => {
  it('takes what is older though there is room, but never the newest three, and waits for a word when it is new', async () => {
    const client = await daysOf('web1', 14, { files: 20, fileBytes: 64 * 1024, perDay: 2 });
    await prune({ mode: 'run', order: 'importance' }, deps);
    const all = await listSnapshotNames(small.store, client.name);
    const limited = (days: number): ServerConfig => ({
      ...small.config,
      policyOf: (name) => ({ ...small.config.policyOf(name), maxAgeMs: days * dayMs }),
    });
    const run = { mode: 'run', order: 'importance' } as const;
    expect((await prune(run, { ...deps, config: limited(1) })).deleted).toEqual([]);
    expect(small.log.lines.join('\n')).toContain('byteback-prune --confirm');
    const { deleted } = await prune({ ...run, confirm: true }, { ...deps, config: limited(5.5) });
    expect(deleted.every(({ reason }) => reason.includes('older than the 6 days'))).toBe(true);
    expect(await listSnapshotNames(small.store, client.name)).toEqual(all.slice(deleted.length));
    expect(deleted.length).toBeGreaterThan(5);
    expect(deleted.length).toBeLessThan(11);
    await prune({ ...run, confirm: true }, { ...deps, config: limited(1) });
    expect(await listSnapshotNames(small.store, client.name)).toEqual(all.slice(-3));
    expect((await prune(run, { ...deps, config: limited(1) })).outcome).toBe('enough');
  });
});

describe('snapshots of the original byteback', () => {
  it('are listed and pruned where they stand; what only looks like one is not touched', {
    timeout: 120_000,
  }, async () => {
    const { store } = small;
    const old = join(store.root, 'old.example.net');
    await mkdir(old);
    await must(['btrfs', 'subvolume', 'create', join(old, 'current')]);
    for (let day = 10; day < 20; day += 1) {
      await writeFile(join(old, 'current', 'file'), Buffer.alloc(mebibyte, day));
      await must([
        'btrfs',
        'subvolume',
        'snapshot',
        '-r',
        join(old, 'current'),
        join(old, `2025-12-${day}T03:00+0100`),
      ]);
    }
    await mkdir(join(old, '2025-12-01T03:00+0100'));
    await must(['chown', '-R', 'nobody', old]).catch(() => undefined);
    small.clock.set(firstDay);
    const list = await prune({ mode: 'list', order: 'importance' }, deps);
    expect(list.decisions).toHaveLength(10);
    const forced = await prune({ mode: 'run', order: 'importance', freeTarget: await nearlyAll() }, deps);
    expect(forced.deleted).toHaveLength(7);
    const { stdout } = await must(['ls', old]);
    expect(stdout.trim().split('\n')).toEqual([
      '2025-12-01T03:00+0100',
      '2025-12-17T03:00+0100',
      '2025-12-18T03:00+0100',
      '2025-12-19T03:00+0100',
      'current',
    ]);
  });
});
