import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { reasonOf } from '../../errors.ts';
import { makePlan } from '../../retention/plan.ts';
import type { Clock } from '../../system/clock.ts';
import { tryLock } from '../../system/lock.ts';
import type { Log } from '../../system/log.ts';
import { sweepTemporaryFiles } from '../../system/temporary.ts';
import { listClientNames, type Store } from '../store.ts';
import { carryOut } from './carry-out.ts';
import { findHolders, holdersInWords } from './holders.ts';
import { look, type Seen } from './look.ts';
import { keepReserve, readStoreSpace } from './reserve.ts';
import type { Space } from './space.ts';
import type { PruneDeps, PruneOptions, PruneReport } from './types.ts';
import { inBytes, inPercent, tellShort } from './words.ts';

/** Another pruner is waited for this long by a run that needs the room. */
const patienceMs = 5 * 60_000;

/** And this long by all others: after each run there is one, which as a rule only looks. */
const shortPatienceMs = 20_000;
const lockPollMs = 250;

/**
 * Frees space when there is too little, by deleting snapshots in the order that `retention/` decides. One at a time in a
 * store. May be killed at any point: a snapshot is deleted as a whole or not at all, and the next prune begins from what
 * is on the disk.
 */
export async function prune(options: PruneOptions, deps: PruneDeps): Promise<PruneReport> {
  const { store, config, clock, log } = deps;
  if (options.mode !== 'run') return await plan(options, deps);
  await mkdir(join(store.stateDir, 'ledger'), { recursive: true, mode: 0o700 });
  const lock = await pruneLock(store, clock, options.demand === undefined ? shortPatienceMs : patienceMs);
  if (lock === undefined) {
    const space = await readStoreSpace(store, config.prune.startPercent);
    log.info('another prune is at work');
    return unchanged(options, space, 'busy', 'another prune is at work');
  }
  try {
    for (const directory of await rootsDirectories(store)) await sweepTemporaryFiles(directory);
    const seen = await look(options, deps, { record: true });
    if (seen.refusal !== undefined) {
      log.warn(`nothing is pruned: ${seen.refusal}`);
      const stands = seen.ledger.standstill !== undefined;
      const told = stands ? { holders: await holdersOfStore(seen, store, log) } : {};
      return { ...unchanged(options, seen.space, 'refused', seen.refusal), ...told };
    }
    if (seen.aim === undefined) {
      await keepReserve(store, seen.space, log);
      return unchanged(options, seen.space, 'enough');
    }
    const { space } = seen;
    log.info(
      `${inBytes(space.freeBytes)} free (${inPercent(space.freeBytes, space.totalBytes)}), ${inBytes(seen.aim.freeBytes)} wanted`,
    );
    const done = await carryOut(seen, seen.aim, deps);
    if (done.why !== undefined) log.warn(`too little could be freed: ${done.why}`);
    await keepReserve(store, done.space, log);
    const holders = done.why === undefined ? {} : { holders: await holdersOfStore(seen, store, log) };
    return {
      mode: 'run',
      order: options.order,
      outcome: done.why === undefined ? 'reached' : 'short',
      ...(done.why === undefined ? {} : { why: done.why }),
      ...holders,
      totalBytes: space.totalBytes,
      freeBytesBefore: space.freeBytes,
      freeBytesAfter: done.space.freeBytes,
      aimBytes: seen.aim.freeBytes,
      decisions: [],
      deleted: done.deleted,
    };
  } finally {
    await lock.release();
  }
}

/** Where root writes files that it replaces: what was being written when a helper, or the power, ended is swept there. */
async function rootsDirectories(store: Store): Promise<string[]> {
  const clients = await listClientNames(store);
  return [
    serverPaths.configDir,
    store.stateDir,
    join(store.stateDir, 'clients'),
    ...clients.flatMap((client) => [store.runRecordsDir(client), store.currentDir(client)]),
  ];
}

async function plan(options: PruneOptions, deps: PruneDeps): Promise<PruneReport> {
  const seen = await look(options, deps, { record: false });
  const { space } = seen;
  const { refusal } = seen;
  const everything = options.mode === 'list' && options.freeTarget === undefined;
  const aim = everything ? { freeBytes: Number.POSITIVE_INFINITY, order: options.order } : seen.aim;
  const { decisions, shortfall, freeBytes, reached, reachableBytes } = makePlan(
    seen.state(),
    aim ?? { freeBytes: 0, order: options.order },
  );
  const why = refusal ?? (everything ? undefined : tellShort(shortfall, reachableBytes));
  const isShort = !everything && aim !== undefined && (refusal !== undefined || !reached);
  const holders = isShort ? { holders: await holdersOfStore(seen, deps.store, deps.log) } : {};
  return {
    mode: options.mode,
    order: options.order,
    outcome: refusal !== undefined ? 'refused' : aim === undefined ? 'enough' : 'planned',
    ...(why === undefined ? {} : { why }),
    ...holders,
    ...(everything || reachableBytes === undefined ? {} : { reachableBytes: Math.floor(reachableBytes) }),
    totalBytes: space.totalBytes,
    freeBytesBefore: space.freeBytes,
    freeBytesAfter: everything ? space.freeBytes : Math.round(freeBytes),
    ...(seen.aim === undefined ? {} : { aimBytes: Math.round(seen.aim.freeBytes) }),
    decisions: decisions.map(({ client, snapshot, verdict, because, reason, freesBytes }) => ({
      client,
      snapshot: snapshot.name,
      verdict,
      because,
      reason,
      freesBytes: Math.round(freesBytes),
    })),
    deleted: [],
  };
}

/** Who holds the space, in words; that it cannot be told fails nothing else. */
async function holdersOfStore(seen: Seen, store: Store, log: Log): Promise<string> {
  const { ledger, holds, space } = seen;
  const usedBytes = space.totalBytes - space.dataFreeBytes;
  try {
    const words = holdersInWords(await findHolders(store, { ledger, holds, usedBytes }));
    log.warn(words);
    return words;
  } catch (error) {
    return `who holds the space cannot be told: ${reasonOf(error)}`;
  }
}

function unchanged(options: PruneOptions, space: Space, outcome: PruneReport['outcome'], why?: string): PruneReport {
  return {
    mode: options.mode,
    order: options.order,
    outcome,
    ...(why === undefined ? {} : { why }),
    totalBytes: space.totalBytes,
    freeBytesBefore: space.freeBytes,
    freeBytesAfter: space.freeBytes,
    decisions: [],
    deleted: [],
  };
}

async function pruneLock(store: Store, clock: Clock, waitMs: number) {
  const path = join(store.stateDir, 'prune.lock');
  for (let waited = 0; ; waited += lockPollMs) {
    const lock = await tryLock(path, { create: true });
    if (lock !== undefined || waited >= waitMs) return lock;
    await clock.sleep(lockPollMs);
  }
}
