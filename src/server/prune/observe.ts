import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../../protocol/run-record.ts';
import { changedPart, hasHabit, usualRunBytes, whyDestructive } from '../../retention/guards.ts';
import { type History, recordCharge, recordDeletion, recordRun } from '../../retention/history.ts';
import { bytesWrittenSince, generationOf } from '../../system/btrfs/written.ts';
import { isMissing } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { type Ledger, type LedgerClient, type LedgerLine, ledgerClient } from '../ledger.ts';
import type { StoredSnapshot } from './contents.ts';

/** A run that looked like a disaster. */
export interface Disaster {
  readonly client: ClientName;
  readonly reason: string;
  /** The snapshot before it. */
  readonly lastGood: string | undefined;
}

/** What was found out by comparing the ledger with the disk. */
export interface Observed {
  readonly lines: LedgerLine[];
  readonly disasters: Disaster[];
  /** Clients of whom so much changes so often that a pause of theirs is over. */
  readonly habits: ClientName[];
}

/** One snapshot is measured for this long at most, all of them together for so long. */
const measureMs = 60_000;
const measureAllMs = 180_000;

/**
 * Brings the ledger in line with the disk: forgets snapshots that are gone, measures those that are new. The disk is the
 * truth; whatever happened to an earlier prune, this begins from what is there.
 */
export async function observe(
  ledger: Ledger,
  contents: ReadonlyMap<ClientName, readonly StoredSnapshot[]>,
  { now, log, charges = new Map() }: { now: Date; log: Log; charges?: ReadonlyMap<ClientName, number> },
): Promise<Observed> {
  const observed: Observed = { lines: [], disasters: [], habits: [] };
  const at = now.toISOString();
  for (const client of Object.keys(ledger.clients)) {
    if (!contents.has(client as ClientName)) delete ledger.clients[client];
  }
  const until = performance.now() + measureAllMs;
  for (const [client, snapshots] of contents) {
    const its = ledgerClient(ledger, client);
    const { history } = its;
    const there = new Set(snapshots.map(({ name }) => name));
    for (const { name } of history.entries.filter((entry) => !there.has(entry.name))) {
      recordDeletion(history, name, undefined);
      observed.lines.push({ at, event: 'lost', client, snapshot: name, why: 'no longer on the disk' });
    }
    const known = new Set(history.entries.map(({ name }) => name));
    // A ledger that is begun anew says nothing of what was suspicious in its time.
    const judge = known.size > 0;
    const fresh = new Set(snapshots.filter(({ name }) => !known.has(name)).map(({ name }) => name));
    for (const [index, snapshot] of snapshots.entries()) {
      if (known.has(snapshot.name)) continue;
      const timeoutMs = Math.min(measureMs, Math.max(0, until - performance.now()));
      await observeRun(ledger, snapshot, snapshots[index - 1], { observed, at, timeoutMs, log, judge });
    }
    if (fresh.size === 0) continue;
    if (hasHabit(history.runs)) observed.habits.push(client);
    const charge = charges.get(client);
    const before = known.size === 0 ? 0 : its.chargedBytes;
    if (before !== undefined && charge !== undefined) recordCharge(history, fresh, charge - before);
    if (charge !== undefined) its.chargedBytes = charge;
    countSinceMeasured(its, fresh);
  }
  return observed;
}

function countSinceMeasured(its: LedgerClient, fresh: ReadonlySet<string>): void {
  const { measured } = its;
  if (measured === undefined) return;
  const entries = its.history.entries.filter(({ name }) => fresh.has(name));
  its.measured = {
    ...measured,
    writtenBytes: entries.reduce((sum, { bornBytes }) => sum + bornBytes, measured.writtenBytes),
    diedBytes: entries.reduce((sum, { diedBytes }) => sum + diedBytes, measured.diedBytes),
  };
}

async function observeRun(
  ledger: Ledger,
  snapshot: StoredSnapshot,
  previous: StoredSnapshot | undefined,
  {
    observed,
    at,
    timeoutMs,
    log,
    judge,
  }: { observed: Observed; at: string; timeoutMs: number; log: Log; judge: boolean },
): Promise<void> {
  const { client, name, time } = snapshot;
  const its = ledgerClient(ledger, client);
  const record = await readRunOf(snapshot, log);
  const measured = await measure(its, previous, snapshot, timeoutMs, log);
  const writtenBytes = measured ?? record?.figures?.sentBytes ?? usualRun(its.history);
  // A run of single sources saw a part of the tree only.
  const figures = record?.whole === false ? undefined : record?.figures;
  const { files: filesNow, totalBytes: bytesNow } = figures ?? {};
  // The client says how large its tree is: until the tree is measured (see sizes.ts), that stands.
  const grown = bytesNow === undefined ? 0 : bytesNow - (its.treeBytes ?? 0);
  const diedBytes = Math.max(0, writtenBytes - grown);
  let part: number | undefined;
  if (
    judge &&
    filesNow !== undefined &&
    bytesNow !== undefined &&
    its.treeFiles !== undefined &&
    its.treeBytes !== undefined
  ) {
    const change = {
      filesBefore: its.treeFiles,
      filesNow,
      bytesBefore: its.treeBytes,
      bytesNow,
      // A large file of which little changed is sent whole by its size, and is not by the disk.
      sentBytes: measured ?? figures?.sentBytes ?? 0,
      usualBytes: usualRunBytes(its.history.runs),
      elapsedMs: time - (previous?.time ?? 0),
      isHabit: hasHabit(its.history.runs),
    };
    part = changedPart(change);
    const reason = whyDestructive(change);
    if (reason !== undefined) observed.disasters.push({ client, reason, lastGood: previous?.name });
  }
  const changed = part === undefined ? {} : { changedPart: part };
  recordRun(its.history, { name, time, status: record?.status ?? 'unknown', writtenBytes, diedBytes, ...changed });
  its.treeBytes = bytesNow ?? its.treeBytes;
  its.treeFiles = filesNow ?? its.treeFiles;
  observed.lines.push({
    at,
    event: 'run',
    client,
    snapshot: name,
    writtenBytes,
    diedBytes,
    ...(bytesNow === undefined ? {} : { treeBytes: bytesNow }),
  });
}

async function measure(
  its: LedgerClient,
  previous: StoredSnapshot | undefined,
  snapshot: StoredSnapshot,
  timeoutMs: number,
  log: Log,
): Promise<number | undefined> {
  if (timeoutMs < 1000) return undefined;
  try {
    // Before the first there was nothing: all that it holds was written by it.
    const generation =
      previous === undefined
        ? 0
        : its.newest?.name === previous.name
          ? its.newest.generation
          : await generationOf(join(previous.directory, previous.name));
    const written = await bytesWrittenSince(join(snapshot.directory, snapshot.name), generation, timeoutMs);
    if (written === undefined) return undefined;
    its.newest = { name: snapshot.name, generation: written.generation };
    return written.bytes;
  } catch (error) {
    log.info(`cannot measure what ${snapshot.client} ${snapshot.name} wrote: ${reasonOf(error)}`);
    return undefined;
  }
}

function usualRun(history: History): number {
  const sizes = history.runs.map((run) => run.writtenBytes).sort((a, b) => a - b);
  return sizes[sizes.length >> 1] ?? 0;
}

/** The record of the run that made a snapshot; the original's snapshots have none. */
export async function readRunOf(
  { directory, name, isOriginal }: StoredSnapshot,
  log: Log,
): Promise<RunRecord | undefined> {
  if (isOriginal) return undefined;
  try {
    return v.parse(RunRecordSchema, JSON.parse(await readFile(join(directory, name, 'run.json'), 'utf8')));
  } catch (error) {
    if (!isMissing(error)) log.info(`${name}: no readable run record: ${reasonOf(error)}`);
    return undefined;
  }
}
