import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import type { ListScope } from '../../protocol/command.ts';
import type { Failure } from '../../protocol/messages.ts';
import type { ClientName, RunId, SnapshotName } from '../../protocol/names.ts';
import { buildRsyncArgv, type RsyncOptions } from '../../protocol/rsync-options.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { storedFormat } from '../../protocol/stored.ts';
import { freeSpace } from '../../system/btrfs.ts';
import { type Lock, tryLock } from '../../system/lock.ts';
import { distrustsLinks } from '../../system/rsync-version.ts';
import type { RunningProgram } from '../../system/run.ts';
import { failureOf } from '../helper-request.ts';
import { Refusal } from '../refusal.ts';
import { lockedError } from '../runs/prepare.ts';
import { readRecord, requireOpen } from '../runs/record.ts';
import { reserveBytes, roomOf, storeFull } from '../runs/space.ts';
import { startInJail } from '../sandbox/jail.ts';
import { jailedProgramArgv } from '../sandbox/jailed.ts';
import { listSnapshotNames, type Store } from '../store.ts';
import { tooLarge } from '../too-large.ts';
import { askRoot, failureIn, startSnapshotHelper } from './root-helper.ts';
import { type Limits, supervise } from './supervise.ts';
import { reading } from './tell-reading.ts';

/** One session of a client that moves files. */
export interface Session {
  readonly client: ClientName;
  readonly store: Store;
  readonly idleTimeoutMs: number;
  /** Whether what the end of a transfer needs may load ahead of it. */
  readonly ahead: boolean;
  /** A line for the client's stderr. */
  readonly say: (line: string) => void;
}

/** The end of a session: rsync's exit, and why the server ended or refused it. */
export interface SessionEnd {
  readonly exitCode: number;
  readonly failure: BytebackError | undefined;
}

/** A helper that waits longer for what it is to do takes memory for nothing. */
const helperIdleMs = 10_000;

/** After a lost connection the old receiver needs a moment to notice. */
const lockPatienceMs = 5000;

async function lockOf({ client, store }: Session): Promise<Lock> {
  for (const start = performance.now(); ; ) {
    const lock = await tryLock(store.lockFile(client));
    if (lock !== undefined) return lock;
    if (performance.now() - start > lockPatienceMs) throw lockedError(client);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function serverSideOf({ idleTimeoutMs }: Session) {
  return { timeoutSeconds: Math.max(1, Math.ceil(idleTimeoutMs / 1000)), confine: await distrustsLinks() };
}

/** Receives the files of a run: rsync in the jail, writing to `current`. The run's record says how it ended. */
export async function transfer(session: Session, run: RunId, options: RsyncOptions): Promise<SessionEnd> {
  const { client, store } = session;
  // Root's helper loads meanwhile.
  const helper = session.ahead ? startSnapshotHelper(helperIdleMs) : undefined;
  let lock: Lock | undefined;
  try {
    const [held, serverSide] = await Promise.all([lockOf(session), serverSideOf(session)]);
    lock = held;
    // Under the lock: no prepare can come in between.
    const { growth, expectedBytes } = requireOpen(await readRecord(store.runFile(client)), run);
    const directory = store.fsDir(client);
    const space = await beginningSpace(directory, expectedBytes);
    if ('failure' in space) return await record(client, run, { exitCode: 1, failure: space.failure });
    const rsync = await startReceiver(session, lock, options, serverSide);
    const limits = {
      idleTimeoutMs: session.idleTimeoutMs,
      watchSpaceAt: directory,
      ...space,
      ...growthLimitOf(client, growth),
      ...moreRoomFor(client, run, growth),
    };
    const end = await supervise(rsync, limits, session.say);
    return await record(client, run, end, helper?.ask);
  } finally {
    helper?.end();
    await lock?.release();
  }
}

/** Has the end written into the run's record by root; without that no snapshot is made of it. */
async function record(
  client: ClientName,
  run: RunId,
  end: SessionEnd,
  ask = (request: unknown) => askRoot('snapshot', request),
): Promise<SessionEnd> {
  const recorded = await ask({
    verb: 'event',
    client,
    run,
    exitCode: Math.min(255, end.exitCode),
    failure: end.failure === undefined ? null : failureOf(end.failure),
  });
  return { exitCode: end.exitCode, failure: end.failure ?? errorOf(failureIn(recorded)) };
}

function startReceiver(
  { client, store }: Session,
  lock: Lock,
  options: RsyncOptions,
  serverSide: Awaited<ReturnType<typeof serverSideOf>>,
): Promise<RunningProgram> {
  return startInJail({
    directory: store.fsDir(client),
    access: 'write',
    argv: buildRsyncArgv('push', options, serverSide),
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'pipe',
    lockFd: lock.fd,
  });
}

/** A run that needs nothing may go a little way into the reserve, since it may be what frees something. Bytes. */
const needsNothingBytes = 16 * 1024 * 1024;

/** Whether there is room to begin with, and at which room the run is ended. */
async function beginningSpace(directory: string, expectedBytes: number) {
  const room = await roomOf(directory);
  if (room.bytes > 0) return { endBelowBytes: 0 };
  const { totalBytes } = await freeSpace(directory);
  const mayBegin = expectedBytes === 0 && room.bytes > -reserveBytes(totalBytes) / 2;
  return mayBegin ? { endBelowBytes: room.bytes - needsNothingBytes } : { failure: storeFull(room) };
}

/** Root makes room for a run as it writes, as far as that is fair. */
function moreRoomFor(client: ClientName, run: RunId, growth: RunRecord['growth']): Pick<Limits, 'more'> {
  if (growth?.stepBytes === undefined) return {};
  const lowBytes = growth.stepBytes / 2;
  const ask = async () => {
    const { json } = await askRoot('snapshot', { verb: 'room', client, run });
    const answer = v.safeParse(v.object({ why: v.nullable(v.string()) }), JSON.parse(json));
    return answer.success ? (answer.output.why ?? undefined) : 'the server could not make room';
  };
  return { more: { lowBytes, ask } };
}

function growthLimitOf(client: ClientName, growth: RunRecord['growth']): Pick<Limits, 'growth'> {
  if (growth === undefined || growth.limitBytes === null) return {};
  const { limitBytes, floorBytes } = growth;
  return { growth: { limitBytes, floorBytes, failure: () => tooLarge(client, limitBytes, limitBytes) } };
}

/**
 * Works on `current` in the jail, without rsync: `separate` makes files single that share their content with other names,
 * before they are written in place; `replay` renames what was renamed on the client. The list is on standard input.
 */
export async function workInPlace(session: Session, run: RunId, task: 'separate' | 'replay'): Promise<SessionEnd> {
  const { client, store } = session;
  const lock = await lockOf(session);
  try {
    requireOpen(await readRecord(store.runFile(client)), run);
    const directory = store.fsDir(client);
    const room = await roomOf(directory);
    if (room.bytes <= 0) return await record(client, run, { exitCode: 1, failure: storeFull(room) });
    const program = await startInJail({
      directory,
      access: 'write',
      argv: jailedProgramArgv(task),
      stdin: 'inherit',
      stdout: 'inherit',
      stderr: 'pipe',
      lockFd: lock.fd,
    });
    const limits = { idleTimeoutMs: session.idleTimeoutMs, watchSpaceAt: directory };
    const end = await supervise(program, limits, session.say);
    // What was left half done must not become a snapshot: only a transfer that ends well mends it.
    return end.exitCode === 0 && end.failure === undefined ? end : await record(client, run, end);
  } finally {
    await lock.release();
  }
}

/**
 * Tells the client where `current` differs from what it has: rsync in a jail that can write nothing. No lock is taken, because it
 * is asked before the run is open and may go on beside its transfer: what changes under its hands is told as different.
 */
export async function check(session: Session, options: RsyncOptions): Promise<SessionEnd> {
  const { client, store } = session;
  const [record, serverSide] = await Promise.all([readRecord(store.runFile(client)), serverSideOf(session)]);
  if (record === undefined) {
    throw new BytebackError('refused', { what: 'there is nothing to check', why: `${client} has had no run yet` });
  }
  const rsync = await startInJail({
    directory: store.fsDir(client),
    access: 'read',
    argv: buildRsyncArgv('check', options, serverSide),
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'pipe',
  });
  return supervise(rsync, { idleTimeoutMs: session.idleTimeoutMs }, session.say);
}

/**
 * Tells the client what `current` has, so that what is recorded is what arrived. In a jail that can write nothing, and without
 * the lock: nobody but the client's own run writes meanwhile. Names come as bytes, in records (see protocol/stored.ts).
 */
export async function listCurrent(session: Session, run: RunId, scope: ListScope): Promise<SessionEnd> {
  const { client, store } = session;
  requireOpen(await readRecord(store.runFile(client)), run);
  const program = await startInJail({
    directory: store.fsDir(client),
    access: 'read',
    argv: scope === 'all' ? ['find', '.', '-printf', storedFormat] : jailedProgramArgv('list'),
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'pipe',
  });
  return supervise(program, { idleTimeoutMs: session.idleTimeoutMs }, session.say);
}

/** Sends files of a snapshot: rsync in a jail that sees exactly that snapshot's files and can write nothing. */
export async function restore(session: Session, snapshot: SnapshotName, options: RsyncOptions): Promise<SessionEnd> {
  const serverSide = serverSideOf(session);
  serverSide.catch(() => undefined);
  await requireSnapshot(session, snapshot);
  return readInJail(session, snapshot, buildRsyncArgv('pull', options, await serverSide));
}

/**
 * Tells what a snapshot holds at and below some names, or what the checksums of some files are: our own program in the same jail. What a
 * client counts its restore against comes from here.
 */
export async function lookThrough(
  session: Session,
  snapshot: SnapshotName,
  task: 'tree' | 'digests',
): Promise<SessionEnd> {
  await requireSnapshot(session, snapshot);
  return readInJail(session, snapshot, jailedProgramArgv(task));
}

async function requireSnapshot({ client, store }: Session, snapshot: SnapshotName): Promise<void> {
  if ((await listSnapshotNames(store, client)).includes(snapshot)) return;
  throw new Refusal('snapshot', {
    what: 'no such snapshot',
    why: `${client} has no snapshot ${snapshot}`,
    fix: 'list what there is: byteback-restore',
  });
}

async function readInJail(
  session: Session,
  snapshot: SnapshotName,
  argv: readonly [string, ...string[]],
): Promise<SessionEnd> {
  return await reading(session.store, session.client, [snapshot], async () => {
    const program = await startInJail({
      directory: session.store.snapshotFsDir(session.client, snapshot),
      access: 'read',
      argv,
      stdin: 'inherit',
      stdout: 'inherit',
      stderr: 'pipe',
    });
    return await supervise(program, { idleTimeoutMs: session.idleTimeoutMs }, session.say);
  });
}

function errorOf(failure: Failure | undefined): BytebackError | undefined {
  if (failure === undefined) return undefined;
  const { exit, what, why, fix } = failure;
  return new BytebackError(exit, {
    what,
    ...(why === undefined ? {} : { why }),
    ...(fix === undefined ? {} : { fix }),
  });
}
