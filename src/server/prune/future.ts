import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { BytebackError } from '../../errors.ts';
import { type ClientName, type SnapshotName, snapshotNameAt } from '../../protocol/names.ts';
import type { Clock } from '../../system/clock.ts';
import { syncDirectory } from '../../system/files.ts';
import { tryLock } from '../../system/lock.ts';
import type { Log } from '../../system/log.ts';
import { recordEvent } from '../events.ts';
import { isFuture } from '../health/clock.ts';
import { changeHolds } from '../holds.ts';
import { appendToLedger, readLedger, writeLedger } from '../ledger.ts';
import type { Store } from '../store.ts';
import { readSnapshots, type StoredSnapshot, timeOfSnapshotName } from './contents.ts';

/** A snapshot whose name is of a time to come, and the name that it gets. */
export interface Renaming {
  readonly client: ClientName;
  readonly from: string;
  readonly to: SnapshotName;
}

const secondMs = 1000;

/**
 * New names for the snapshots of a client that bear a time to come. When they were really taken nobody knows any more; their order is
 * known, and that they came after the ones before and not after now. So each gets the next second after the newest that is right,
 * as far as there is room for them before now. Pure.
 * @param times of all its snapshots by name, in milliseconds since 1970.
 */
export function planRenaming(
  client: ClientName,
  snapshots: readonly { readonly name: string; readonly time: number }[],
  nowMs: number,
): Renaming[] {
  const sorted = snapshots.toSorted((a, b) => a.time - b.time);
  const future = sorted.filter(({ time }) => isFuture(time, nowMs));
  if (future.length === 0) return [];
  const newestRight = sorted.filter(({ time }) => !isFuture(time, nowMs)).at(-1)?.time;
  const latest = Math.floor(nowMs / secondMs) * secondMs - (future.length - 1) * secondMs;
  const first = newestRight === undefined ? latest : Math.floor(newestRight / secondMs) * secondMs + secondMs;
  return future.map(({ name: from }, at) => ({ client, from, to: snapshotNameAt(new Date(first + at * secondMs)) }));
}

/** What stands in the way of pruning because the clock was wrong: nothing is changed. */
export async function planFuture(
  store: Store,
  now: Date,
): Promise<{ renamings: Renaming[]; originals: StoredSnapshot[] }> {
  const contents = await readSnapshots(store);
  const all = [...contents].map(([client, its]) => ({ client, its }));
  return {
    // Those of the original lie elsewhere and are named otherwise: a person moves them.
    renamings: all.flatMap(({ client, its }) =>
      planRenaming(
        client,
        its.filter(({ isOriginal }) => !isOriginal),
        now.getTime(),
      ),
    ),
    originals: all.flatMap(({ its }) =>
      its.filter(({ isOriginal, time }) => isOriginal && isFuture(time, now.getTime())),
    ),
  };
}

/**
 * Gives the snapshots that bear a time to come names of the past, and lets pruning believe the clock again. Nothing is deleted.
 * May be killed at any point: each rename is whole, what is held is held under both names until it is done, and a repeat goes on.
 */
export async function mendFuture(
  renamings: readonly Renaming[],
  { store, clock, log }: { store: Store; clock: Clock; log: Log },
): Promise<void> {
  const pruning = await tryLock(join(store.stateDir, 'prune.lock'), { create: true });
  if (pruning === undefined) {
    throw new BytebackError('locked', { what: 'a prune is at work', fix: 'try again when it has ended' });
  }
  try {
    for (const client of new Set(renamings.map((one) => one.client))) {
      await mendClient(
        client,
        renamings.filter((one) => one.client === client),
        { store, clock, log },
      );
    }
    const ledger = await readLedger(store, log);
    for (const { client, from, to } of renamings) {
      const its = ledger.clients[client];
      if (its === undefined) continue;
      const time = timeOfSnapshotName(to) ?? 0;
      const entries = its.history.entries.map((entry) => (entry.name === from ? { ...entry, name: to, time } : entry));
      const runs = its.history.runs.map((run) => (run.time === timeOfSnapshotName(from) ? { ...run, time } : run));
      its.history = { ...its.history, entries, runs };
      if (its.newest?.name === from) its.newest = { ...its.newest, name: to };
    }
    ledger.clock = { lastSeen: clock.now().getTime() };
    await writeLedger(store, ledger, log);
  } finally {
    await pruning.release();
  }
  const at = clock.now().toISOString();
  await appendToLedger(
    store,
    renamings.map(({ client, from, to }) => ({
      at,
      event: 'renamed',
      client,
      snapshot: from,
      to,
      why: 'a time to come',
    })),
    log,
  );
  await recordEvent(store, {
    at,
    kind: 'clock-mended',
    what: `${renamings.length} snapshots that bore a time to come have names of the past; pruning goes by the clock again`,
  });
}

async function mendClient(
  client: ClientName,
  renamings: readonly Renaming[],
  { store, clock, log }: { store: Store; clock: Clock; log: Log },
): Promise<void> {
  // A run must not take its snapshot meanwhile.
  const lock = await tryLock(store.lockFile(client));
  if (lock === undefined) {
    throw new BytebackError('locked', {
      what: `a run of ${client} is going on`,
      why: 'its snapshots are not renamed meanwhile',
      fix: 'wait for its end, and give the command again: what is done stays done',
    });
  }
  try {
    for (const { from, to } of renamings) {
      await changeHolds(store, clock, (holds) => {
        const held = holds.holds.filter((hold) => hold.client === client && hold.snapshot === from);
        return held.length === 0
          ? undefined
          : { ...holds, holds: [...holds.holds, ...held.map((hold) => ({ ...hold, snapshot: to }))] };
      });
      await rename(join(store.snapshotsDir(client), from), join(store.snapshotsDir(client), to));
      await syncDirectory(store.snapshotsDir(client));
      await changeHolds(store, clock, (holds) => ({
        ...holds,
        holds: holds.holds.filter((hold) => hold.client !== client || hold.snapshot !== from),
      }));
      log.step(`${client}: ${from} is now ${to}`);
    }
  } finally {
    await lock.release();
  }
}
