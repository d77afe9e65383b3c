import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../../protocol/run-record.ts';
import { usualRunBytes, whyDestructive } from '../../retention/guards.ts';
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
  const observed: Observed = { lines: [], disasters: [] };
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
    const charge = charges.get(client);
    if (fresh.size === 0 || charge === undefined) continue;
    const before = known.size === 0 ? 0 : its.chargedBytes;
    if (before !== undefined) recordCharge(history, fresh, charge - before);
    its.chargedBytes = charge;
  }
  return observed;
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
  const measured = previous === undefined ? undefined : await measure(its, previous, snapshot, timeoutMs, log);
  const writtenBytes = measured ?? record?.figures?.sentBytes ?? usualRun(its.history);
  // A run of single sources saw a part of the tree only.
  const figures = record?.whole === false ? undefined : record?.figures;
  // The client says how large its tree is. What it grew by cannot be more than what it wrote.
  const grown = figures === undefined ? 0 : figures.totalBytes - (its.treeBytes ?? 0);
  const diedBytes = Math.max(0, writtenBytes - Math.max(0, grown));
  const { files: filesNow, totalBytes: bytesNow } = figures ?? {};
  if (
    judge &&
    filesNow !== undefined &&
    bytesNow !== undefined &&
    its.treeFiles !== undefined &&
    its.treeBytes !== undefined
  ) {
    const sentBytes = Math.max(figures?.sentBytes ?? 0, measured ?? 0);
    const reason = whyDestructive({
      filesBefore: its.treeFiles,
      filesNow,
      bytesBefore: its.treeBytes,
      bytesNow,
      sentBytes,
      usualBytes: usualRunBytes(its.history.runs),
      elapsedMs: time - (previous?.time ?? 0),
    });
    if (reason !== undefined) observed.disasters.push({ client, reason, lastGood: previous?.name });
  }
  recordRun(its.history, { name, time, status: record?.status ?? 'unknown', writtenBytes, diedBytes });
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
  previous: StoredSnapshot,
  snapshot: StoredSnapshot,
  timeoutMs: number,
  log: Log,
): Promise<number | undefined> {
  if (timeoutMs < 1000) return undefined;
  try {
    const generation =
      its.newest?.name === previous.name
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
