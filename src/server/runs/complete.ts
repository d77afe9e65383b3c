import { lstat } from 'node:fs/promises';
import type { ServerConfig } from '../../config/server-config.ts';
import { BytebackError } from '../../errors.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import { parseMachine } from '../../protocol/machine.ts';
import type { CompleteReply, CompleteRequest, HookOutcome } from '../../protocol/messages.ts';
import { type ClientName, type SnapshotName, snapshotNameAt, snapshotTime } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { nestedSubvolumes } from '../../system/btrfs/subvolumes.ts';
import { createReadOnlySnapshot, syncPath } from '../../system/btrfs.ts';
import type { Clock } from '../../system/clock.ts';
import { isMissing, syncDirectory, writeFileAtomically } from '../../system/files.ts';
import { tryLock } from '../../system/lock.ts';
import { isOutOfSpace } from '../../system/out-of-space.ts';
import { sweepTemporaryFiles } from '../../system/temporary.ts';
import { recordMended } from '../bitrot-mending.ts';
import { recordEvent } from '../events.ts';
import { listSnapshotNames, type Store } from '../store.ts';
import { liftAllowance } from './allowance.ts';
import { lastProvenOf } from './drill.ts';
import { lockedError } from './prepare.ts';
import {
  copyRecord,
  isOfThisBoot,
  notOpen,
  readRecord,
  requireClientPlace,
  requireOpen,
  updateCurrentRecord,
} from './record.ts';

/** rsync's exits after which the tree is whole: all done, some source files unread, some vanished. */
const wholeExits: readonly number[] = [0, 23, 24];

/**
 * Closes a run: its record, then the read-only snapshot, then root's copy of the record. A crash between any two is
 * mended by asking again for the same run, which always gives the same answer.
 * @throws BytebackError locked, refused, storeFull.
 */
export async function complete(
  client: ClientName,
  request: CompleteRequest,
  deps: { readonly config: ServerConfig; readonly store: Store; readonly clock: Clock },
): Promise<CompleteReply> {
  const { store, clock } = deps;
  await requireClientPlace(store, client);
  const lock = await tryLock(store.lockFile(client));
  if (lock === undefined) throw lockedError(client);
  try {
    const last = await readRecord(store.runFile(client));
    const record =
      last?.run === request.run && last.state === 'completed'
        ? last
        : await closeRecord(store, requireOpen(last, request.run), request, clock.now());
    const snapshot = record.snapshot;
    if (snapshot === undefined) throw new Error('a completed run has a snapshot');
    // A copy that is there has what hooks said afterwards, too; and the snapshot was there before it, and may be pruned.
    if ((await readRecord(store.runRecordFile(client, record.run))) === undefined) {
      await takeSnapshot(store, record, snapshot);
      await copyRecord(store, record);
    }
    const userName = deps.config.user;
    await recordMended(store, clock, { client, snapshot, mending: record.mending ?? [], userName });
    return { ok: true, run: record.run, snapshot };
  } catch (error) {
    throw fullOrElse(error);
  } finally {
    await lock.release();
  }
}

async function closeRecord(store: Store, open: RunRecord, request: CompleteRequest, now: Date): Promise<RunRecord> {
  requireWholeTransfer(open);
  await requireNoNested(store, open, now);
  if (request.machine !== undefined) await writeMachine(store, open.client, request.machine);
  const snapshot = nextSnapshotName(await listSnapshotNames(store, open.client), now);
  const proven = await lastProvenOf(store, open.client);
  const record: RunRecord = {
    ...open,
    state: 'completed',
    completedAt: now.toISOString(),
    snapshot,
    status: request.status,
    // Names come escaped; should a client send others, they are escaped here.
    unread: request.unread.map((name) => escapeName(unescapeName(name))),
    figures: request.figures,
    hooks: [...(open.hooks ?? []), ...(request.hooks ?? []).map(safeHook)],
    ...(request.grew === undefined
      ? {}
      : { grew: request.grew.map((each) => ({ ...each, path: escapeName(unescapeName(each.path)) })) }),
    ...(request.resent === undefined
      ? {}
      : { resent: request.resent.map((file) => ({ ...file, path: escapeName(unescapeName(file.path)) })) }),
    ...(request.endFollows === true ? { awaitsEnd: true } : {}),
    ...(proven === undefined ? {} : { lastProven: proven }),
  };
  await liftAllowance(store, open.client);
  await updateCurrentRecord(store, record);
  return record;
}

/** The manifest stays until another one comes: most machines are the same for years. */
async function writeMachine(store: Store, client: ClientName, text: string): Promise<void> {
  if (parseMachine(text) === undefined) {
    throw new BytebackError('usage', { what: 'the request is refused', why: 'its manifest of the machine is none' });
  }
  await writeFileAtomically(store.machineFile(client), text, { mode: 0o644 });
}

/** Texts come escaped; should a client send others, they are escaped here. */
function safeHook(hook: HookOutcome): HookOutcome {
  const safe = (text: string) => escapeName(unescapeName(text));
  const output = hook.output.split('\n').map(safe).join('\n');
  return { ...hook, step: 'before', name: safe(hook.name).slice(0, 4096), output: output.slice(0, 16_384) };
}

function requireWholeTransfer({ run, transfers }: RunRecord): void {
  const last = transfers.at(-1);
  const refuse = (why: string) =>
    new BytebackError('refused', {
      what: `run ${run} cannot be completed`,
      why,
      fix: 'run byteback-backup again: a snapshot is only made of a whole run',
    });
  if (last === undefined) throw refuse('nothing was transferred in it');
  if (last.failure !== null) {
    const { exit, what, why, fix } = last.failure;
    throw new BytebackError(exit, {
      what,
      ...(why === undefined ? {} : { why }),
      ...(fix === undefined ? {} : { fix }),
    });
  }
  if (!wholeExits.includes(last.exitCode)) throw refuse(`its last transfer ended with ${last.exitCode}`);
}

/** A subvolume inside `current` would be an empty directory in the snapshot, and its space nobody's. */
async function requireNoNested(store: Store, { client, run }: RunRecord, now: Date): Promise<void> {
  const { isAny, paths } = await nestedSubvolumes(store.currentDir(client));
  if (!isAny) return;
  const shown = paths.slice(0, 3).map((path) => escapeName(Buffer.from(path, 'latin1')));
  // No client can make one: whoever did is, or was, the user that receives, outside of the jail.
  await recordEvent(store, {
    at: now.toISOString(),
    kind: 'nested',
    client,
    run,
    what: `a subvolume was made inside the files of ${client}, by no backup`,
    why: `${shown.length === 0 ? 'its path cannot be told' : shown.join(', ')}; no client can do so: look who uses the account that receives`,
  });
  throw new BytebackError('storeFull', {
    what: 'a subvolume stands inside the backed up files on the server',
    why: `it would miss the snapshot: ${shown.length === 0 ? 'its path cannot be told' : shown.join(', ')}`,
    fix: `on the server, delete it: btrfs subvolume list -o ${store.currentDir(client)}`,
  });
}

/** The name for a snapshot taken now: later than all that there are, whatever the clock did. */
export function nextSnapshotName(existing: readonly SnapshotName[], now: Date): SnapshotName {
  const newest = Math.max(0, ...existing.map((name) => snapshotTime(name)?.getTime() ?? 0));
  const second = Math.floor(now.getTime() / 1000) * 1000;
  return snapshotNameAt(new Date(Math.max(second, newest + 1000)));
}

async function takeSnapshot(store: Store, record: RunRecord, snapshot: SnapshotName): Promise<void> {
  const { client, run } = record;
  const target = store.snapshotDir(client, snapshot);
  try {
    await lstat(target);
    return;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  // The machine went down between the record and the snapshot: what was sent last may be lost.
  if (!isOfThisBoot(record)) throw notOpen(run, 'the server was started anew before its snapshot was taken');
  // What a helper that was killed had begun to write would be in the snapshot for good.
  await sweepTemporaryFiles(store.currentDir(client), { again: true });
  await createReadOnlySnapshot(store.currentDir(client), target);
  await syncDirectory(store.snapshotsDir(client));
  await syncPath(target);
}

/** A disk that is full or fails, whatever step noticed it. */
function fullOrElse(error: unknown): unknown {
  if (error instanceof BytebackError && error.exit !== 'bug') return error;
  if (!isOutOfSpace(error)) return error;
  return new BytebackError(
    'storeFull',
    {
      what: 'the store is full',
      why: 'no snapshot could be made',
      fix: 'on the server, run: byteback-prune --free 10%',
    },
    { cause: error },
  );
}
