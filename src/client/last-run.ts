import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { BytebackError, exitCodes, reasonOf } from '../errors.ts';
import { CompleteRequestSchema, type HookOutcome, HookOutcomeSchema } from '../protocol/messages.ts';
import { type RunId, RunIdSchema, SnapshotNameSchema } from '../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';
import type { RunReport } from './run-backup.ts';

/** `last-run.json` in the state directory: how the last run of this client ended, for `byteback status`. */
export const LastRunSchema = v.object({
  format: v.literal(1),
  /** The client's clock. */
  startedAt: v.pipe(v.string(), v.isoTimestamp()),
  endedAt: v.pipe(v.string(), v.isoTimestamp()),
  /** `failed` runs made no snapshot. */
  status: v.picklist(['ok', 'partial', 'failed']),
  exitCode: v.picklist(Object.values(exitCodes)),
  destination: v.string(),
  /** What was copied, escaped. */
  sources: v.array(v.string()),
  /** Null when the server gave out none. */
  run: v.nullable(RunIdSchema),
  snapshot: v.nullable(SnapshotNameSchema),
  figures: v.nullable(CompleteRequestSchema.entries.figures),
  /** Files that could not be read, escaped; the first 1,000. */
  unread: v.array(v.string()),
  /** What was left out by itself, escaped, the first 1,000; not there in records of a failed run. */
  excluded: v.optional(v.array(v.object({ path: v.string(), why: v.string() }))),
  /** What ran before and after. */
  hooks: v.optional(v.array(HookOutcomeSchema), []),
  /** Compressed files that were sent whole again, escaped. */
  resent: v.optional(v.array(v.object({ path: v.string(), sizeBytes: v.number() }))),
  /** Of a failed run. */
  error: v.nullable(v.object({ what: v.string(), why: v.optional(v.string()), fix: v.optional(v.string()) })),
  /** When a run last ended with a snapshot; null before the first. */
  lastSnapshotAt: v.nullable(v.pipe(v.string(), v.isoTimestamp())),
  /** When the last run of all configured sources with a snapshot had begun: what changed later may not be in it. */
  lastSnapshotBegunAt: v.nullable(v.pipe(v.string(), v.isoTimestamp())),
});
export type LastRun = v.InferOutput<typeof LastRunSchema>;

/** The record of the last run, or undefined when there is none or it cannot be understood. */
export async function readLastRun(path: string): Promise<LastRun | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const parsed = v.safeParse(LastRunSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    // Not JSON: of another version, or damaged. It is only a record; the next run writes it anew.
    return undefined;
  }
}

/** Replaces the record. */
export async function writeLastRun(path: string, record: LastRun): Promise<void> {
  await writeFileAtomically(path, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
}

/** The most file names that a record holds. */
const maxUnread = 1000;

/** The record of a run that made a snapshot. */
export function finishedRun(
  report: RunReport,
  facts: { startedAt: Date; endedAt: Date; everything: boolean; before: LastRun | undefined },
): LastRun {
  return {
    format: 1,
    startedAt: facts.startedAt.toISOString(),
    endedAt: facts.endedAt.toISOString(),
    status: report.status,
    exitCode: report.status === 'ok' ? exitCodes.ok : exitCodes.partial,
    destination: report.destination,
    sources: [...report.sources],
    run: report.run,
    snapshot: report.snapshot,
    figures: report.figures,
    unread: report.unread.slice(0, maxUnread).map(({ path }) => path),
    hooks: [...report.hooks],
    excluded: report.excluded.slice(0, maxUnread).map(({ path, why }) => ({ path, why })),
    ...(report.resent.length === 0 ? {} : { resent: [...report.resent] }),
    error: null,
    lastSnapshotAt: facts.endedAt.toISOString(),
    // A run of one source says nothing of the others.
    lastSnapshotBegunAt: facts.everything ? facts.startedAt.toISOString() : (facts.before?.lastSnapshotBegunAt ?? null),
  };
}

/** The record of a run that made none. */
export function failedRun(
  error: unknown,
  facts: {
    startedAt: Date;
    endedAt: Date;
    destination: string;
    sources: string[];
    run: RunId | null;
    hooks: readonly HookOutcome[];
    before: LastRun | undefined;
  },
): LastRun {
  return {
    format: 1,
    startedAt: facts.startedAt.toISOString(),
    endedAt: facts.endedAt.toISOString(),
    status: 'failed',
    exitCode: error instanceof BytebackError ? exitCodes[error.exit] : exitCodes.bug,
    destination: facts.destination,
    sources: facts.sources,
    run: facts.run,
    snapshot: null,
    figures: null,
    unread: [],
    hooks: [...facts.hooks],
    error: error instanceof BytebackError ? error.explanation : { what: reasonOf(error) },
    lastSnapshotAt: facts.before?.lastSnapshotAt ?? null,
    lastSnapshotBegunAt: facts.before?.lastSnapshotBegunAt ?? null,
  };
}
