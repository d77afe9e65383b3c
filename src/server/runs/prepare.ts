import { createHash, randomBytes } from 'node:crypto';
import { lstat, opendir } from 'node:fs/promises';
import type { ServerConfig } from '../../config/server-config.ts';
import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import type { PrepareReply, PrepareRequest } from '../../protocol/messages.ts';
import { type ClientName, parseRunId, type RunId, type SnapshotName, snapshotTime } from '../../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../../protocol/run-record.ts';
import { findUser } from '../../system/accounts.ts';
import { bootId } from '../../system/boot-id.ts';
import type { Clock } from '../../system/clock.ts';
import { isMissing } from '../../system/files.ts';
import { type Lock, tryLock } from '../../system/lock.ts';
import { readStateFile } from '../../system/state-file.ts';
import { dropDamaged } from '../bitrot-mending.ts';
import { recordEvent } from '../events.ts';
import { isFuture } from '../health/clock.ts';
import { longestSilenceMs } from '../overdue.ts';
import type { Admitted } from '../prune/admit.ts';
import { Refusal } from '../refusal.ts';
import { putStateAside } from '../state-files.ts';
import { findTransfers } from '../status-running.ts';
import { listSnapshotNames, makeLockFile, type Store } from '../store.ts';
import { setAllowance } from './allowance.ts';
import { pinMachine, readClientState } from './client-state.ts';
import { settleCurrent } from './give-back.ts';
import { prepareHooks } from './hooks.ts';
import { requireFewIdle } from './idle-prepares.ts';
import { readMachineText } from './machine.ts';
import { readRecord, requireClientPlace, writeCurrentRecord } from './record.ts';

/** What prepare and complete work with. */
export interface RunDeps {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly clock: Clock;
  /** Lets a run of so many bytes in, by pruning if it must and may, or throws why not. */
  readonly admit: (client: ClientName, expectedBytes: number) => Promise<Admitted>;
}

const dayMs = 24 * 3_600_000;

/**
 * Opens a run: checks everything that could refuse it before anything is sent, voids the generation of `current` and
 * gives out a new run id, which supersedes any open run.
 * @throws BytebackError locked, tooSoon, storeFull, refused.
 */
export async function prepare(client: ClientName, request: PrepareRequest, deps: RunDeps): Promise<PrepareReply> {
  const { store, clock } = deps;
  const lock = await lockPlace(client, deps);
  try {
    await settleCurrent(store, client);
    await requireClientPlace(store, client);
    const last = await lastRecord(client, deps);
    await requireMachine(store, client, { now: request.machineId, last: last?.machineId });
    const limit = deps.config.policyOf(client).snapshotsPerDay ?? deps.config.snapshotsPerDay;
    const names = await listSnapshotNames(store, client);
    requireNotTooSoon(names, limit, clock.now(), await madeUnderWrongNames(store, client, names, clock.now()));
    await requireFewIdle(store, client, last, clock.now());
    const growth = await deps.admit(client, request.expectedBytes);
    const run = newRunId();
    const { expectedBytes } = request;
    const hooks = await prepareHooks(
      { client, run, expectedBytes },
      { store, clock, timeoutMs: deps.config.hookTimeoutMs },
    );
    const chargedBytes = await setAllowance(store, client, growth);
    const { paths: mending, mustWalk } =
      request.whole === true
        ? await dropDamaged(store, clock, client, deps.config.user)
        : { paths: [], mustWalk: false };
    // What was removed is found missing by a run that walks everything.
    const generation = last !== undefined && !mustWalk && (await hasSnapshot(store, last, names)) ? last.run : null;
    const record: RunRecord = {
      format: 1,
      client,
      run,
      state: 'open',
      machineId: request.machineId,
      clientVersion: escapeName(request.version),
      preparedAt: clock.now().toISOString(),
      bootId: bootId(),
      expectedBytes: request.expectedBytes,
      ...(request.whole === undefined ? {} : { whole: request.whole }),
      previous: (last?.state === 'completed' ? last.run : last?.previous) ?? null,
      growth: { ...growth, ...(chargedBytes === undefined ? {} : { chargedBytes }) },
      transfers: [],
      ...(hooks.length === 0 ? {} : { hooks }),
      ...(mending.length === 0 ? {} : { mending: [...mending] }),
    };
    await writeCurrentRecord(store, record);
    const empty = await isEmpty(store.fsDir(client));
    const times = names.map((name) => snapshotTime(name)?.getTime() ?? 0);
    return {
      ok: true,
      run: record.run,
      generation,
      empty,
      machine: await machineDigest(store, client),
      client,
      takesEnds: true,
      longestSilenceMs: longestSilenceMs(times, deps.config.policyOf(client).expectMs) ?? null,
    };
  } finally {
    await lock.release();
  }
}

/**
 * Whether a run was completed and its snapshot taken; it may have been pruned since. A record that says completed is not enough: the
 * machine may have gone down before the snapshot, and with it what was not on the disk yet.
 */
async function hasSnapshot(store: Store, last: RunRecord, names: readonly SnapshotName[]): Promise<boolean> {
  if (last.state !== 'completed' || last.snapshot === undefined) return false;
  if (names.includes(last.snapshot)) return true;
  return (await readRecord(store.runRecordFile(last.client, last.run))) !== undefined;
}

async function isEmpty(path: string): Promise<boolean> {
  const directory = await opendir(path);
  try {
    return (await directory.read()) === null;
  } finally {
    await directory.close();
  }
}

/** What the server's manifest of the machine is, so that the same one is not sent again. */
async function machineDigest(store: Store, client: ClientName): Promise<string | null> {
  const text = await readMachineText(store.machineFile(client));
  return text === undefined ? null : createHash('sha256').update(text).digest('hex');
}

/** The client's lock, which lies beside `current`; a crash may have left that without its name. */
async function lockPlace(client: ClientName, deps: RunDeps): Promise<Lock> {
  const path = deps.store.lockFile(client);
  const lock = await makeLost(client, deps)
    .then(() => tryLock(path))
    .catch(async (error: unknown) => {
      // Says what is missing, in words.
      await requireClientPlace(deps.store, client);
      throw error;
    });
  if (lock === undefined) throw lockedError(client);
  return lock;
}

export function lockedError(client: ClientName): BytebackError {
  return new BytebackError('locked', {
    what: `another run of ${client} is going on`,
    why: 'it holds the lock on the server',
    fix: 'wait for its end; a run that is silent is ended by the server',
  });
}

function newRunId(): RunId {
  const run = parseRunId(randomBytes(16).toString('hex'));
  if (run === undefined) throw new Error('a run id is 32 hexadecimal digits');
  return run;
}

/** The client's lock, made again when it is gone; not while a transfer of its own goes on, which holds the one that was there. */
async function makeLost(client: ClientName, { config, store, clock }: RunDeps): Promise<void> {
  const path = store.lockFile(client);
  try {
    await lstat(path);
    return;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  const busy = (await findTransfers(store)).some((one) => one.client === client && one.kind === 'backup');
  if (busy) throw lockedError(client);
  const account = await findUser(config.user);
  if (account === undefined) throw new Error(`there is no user ${config.user}`);
  await makeLockFile(store, client, account);
  const what = `the lock of ${client} was gone and is made again`;
  await recordEvent(store, { at: clock.now().toISOString(), kind: 'state', client, what });
}

/** The record of the run before; a damaged one is put aside, and all of `current` is then compared. */
async function lastRecord(client: ClientName, { store, clock }: RunDeps): Promise<RunRecord | undefined> {
  const path = store.runFile(client);
  const read = await readStateFile(path, RunRecordSchema, 1);
  if (read.kind === 'damaged') await putStateAside(store, path, read.why, clock.now());
  else return await readRecord(path);
  return undefined;
}

/** A cloned machine bears the name and the key of another: its files would be merged with the other's. */
async function requireMachine(
  store: Store,
  client: ClientName,
  { now: machineId, last }: { now: string; last: string | undefined },
): Promise<void> {
  const { machineId: known, forgotten } = await readClientState(store, client);
  // A state that is lost lets no other machine in: the last run tells which it was, unless the admin forgot that.
  const pinned = known ?? (forgotten === true ? undefined : last);
  if (known === undefined && (pinned === undefined || pinned === machineId))
    return pinMachine(store, client, machineId);
  if (pinned === machineId) return;
  throw new Refusal('machine', {
    what: `this is not the machine that ${client} has been so far`,
    why: 'its machine id is another: it is a clone, or was installed anew',
    fix: `a clone needs a name of its own: run byteback-setup-client there. If it takes the old one's place, run on the server: byteback client invite ${client} --replace`,
  });
}

/**
 * When snapshots were made that bear a time to come. As long as one is there all that follow it do, so that the newest stays the
 * newest; the record in each tells when it was written, by the clock of that moment.
 */
async function madeUnderWrongNames(
  store: Store,
  client: ClientName,
  names: readonly SnapshotName[],
  now: Date,
): Promise<Map<SnapshotName, number>> {
  const future = names.filter((name) => isFuture(snapshotTime(name)?.getTime() ?? 0, now.getTime()));
  const times = await Promise.all(
    future.map(async (name) => {
      const record = await lstat(store.snapshotRunFile(client, name)).catch(() => undefined);
      return record === undefined ? [] : [[name, record.mtimeMs] as const];
    }),
  );
  return new Map(times.flat());
}

/** @throws BytebackError tooSoon, with the time from which the next snapshot is allowed. */
export function requireNotTooSoon(
  snapshots: readonly SnapshotName[],
  perDay: number,
  now: Date,
  madeAt: ReadonlyMap<SnapshotName, number> = new Map(),
): void {
  const times = snapshots
    .map((name) => madeAt.get(name) ?? snapshotTime(name)?.getTime() ?? 0)
    // A wrong clock gave the others their time: they must not lock a client out until then.
    .filter((time) => time > now.getTime() - dayMs && !isFuture(time, now.getTime()))
    .sort((one, other) => one - other);
  const oldest = times.at(-perDay);
  if (times.length < perDay || oldest === undefined) return;
  const next = new Date(oldest + dayMs);
  throw new BytebackError('tooSoon', {
    what: `${perDay} snapshots were taken in the last 24 hours, which is the limit`,
    why: `the next is allowed at ${next.toISOString().slice(0, 19)}Z, in ${Math.ceil((next.getTime() - now.getTime()) / 60_000)} minutes`,
    fix: 'wait, or raise snapshots_per_day in server.toml on the server',
  });
}
