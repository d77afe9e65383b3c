import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import * as v from 'valibot';
import { BytebackError, reasonOf } from '../../errors.ts';
import type { ClientName, RunId } from '../../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../../protocol/run-record.ts';
import { bootId } from '../../system/boot-id.ts';
import { isMissing, replaceFile, writeFileAtomically } from '../../system/files.ts';
import { Refusal } from '../refusal.ts';
import { makeDirectory, requireRootsDirectory, requireRootsSubvolume, type Store } from '../store.ts';

/** A record is a few kilobytes, with a thousand unread files some megabytes at most. */
const maxRecordBytes = 32 * 1024 * 1024;

/** The record at a path, or undefined when there is none. A link is never followed. */
export async function readRecord(path: string): Promise<RunRecord | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { size } = await file.stat();
      if (size > maxRecordBytes) throw new Error('it is too large');
      return v.parse(RunRecordSchema, JSON.parse(await file.readFile('utf8')));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new BytebackError(
      'refused',
      {
        what: `the run record ${path} cannot be read`,
        why: reasonOf(error),
        fix: 'on the server, run: byteback doctor',
      },
      { cause: error },
    );
  }
}

/**
 * Writes `current/run.json`; readable for all, changeable for root alone. A run that is opened must stay so whatever happens:
 * what it changes would else count as the last run's.
 */
export async function writeCurrentRecord(store: Store, record: RunRecord): Promise<void> {
  await writeFileAtomically(store.runFile(record.client), textOf(record), { mode: 0o644 });
}

/**
 * Writes it anew when nothing is lost should the old one come back with a crash: after a crash the run is not gone on with (see
 * `isOfThisBoot`). A snapshot makes it last, as it does with everything before it.
 */
export async function updateCurrentRecord(store: Store, record: RunRecord): Promise<void> {
  await replaceFile(store.runFile(record.client), textOf(record), { mode: 0o644 });
}

/** Writes root's own copy, which stays when the snapshot is pruned. */
export async function copyRecord(store: Store, record: RunRecord): Promise<void> {
  await makeDirectory(store.runRecordsDir(record.client), 0o700);
  await writeFileAtomically(store.runRecordFile(record.client, record.run), textOf(record), { mode: 0o600 });
}

function textOf(record: RunRecord): string {
  return `${JSON.stringify(record, undefined, 2)}\n`;
}

/**
 * Checks that a client's place is root's, all the way down to `current`: what a helper of root's works in must not be
 * changeable by anybody else.
 */
export async function requireClientPlace(store: Store, client: ClientName): Promise<void> {
  await requireRootsDirectory(store.clientsDir);
  try {
    await requireRootsDirectory(store.clientDir(client));
    await requireRootsSubvolume(store.currentDir(client));
    await requireRootsDirectory(store.snapshotsDir(client));
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new BytebackError('refused', {
      what: `${client} has no place in the store`,
      why: reasonOf(error),
      fix: `on the server, run: byteback client show ${client}`,
    });
  }
}

/** Why a run may not go on, or undefined when it is the open one. */
export function whyNotOpen(record: RunRecord | undefined, run: RunId): string | undefined {
  if (record === undefined) return 'no run was prepared';
  if (record.run !== run) return 'a newer run has taken its place';
  if (record.state !== 'open') return 'it is completed';
  return isOfThisBoot(record) ? undefined : 'the server was started anew since it was prepared';
}

/**
 * The record may be on the disk and what was transferred before it not: btrfs writes a file that was synced at once, others when it
 * comes to it. So what a run had sent when the machine went down counts for nothing.
 */
export function isOfThisBoot({ bootId: then }: RunRecord): boolean {
  return then === undefined || then === bootId();
}

export function requireOpen(record: RunRecord | undefined, run: RunId): RunRecord {
  const why = whyNotOpen(record, run);
  if (record !== undefined && why === undefined) return record;
  throw notOpen(run, why ?? 'no run was prepared');
}

/** What a client takes for the word to prepare anew. */
export function notOpen(run: RunId, why: string): Refusal {
  return new Refusal('run', { what: `run ${run} is refused`, why, fix: 'start a new backup' });
}
