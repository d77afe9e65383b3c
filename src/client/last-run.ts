import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { exitCodes } from '../errors.ts';
import { CompleteRequestSchema } from '../protocol/messages.ts';
import { RunIdSchema, SnapshotNameSchema } from '../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';

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
  /** Of a failed run. */
  error: v.nullable(v.object({ what: v.string(), why: v.optional(v.string()), fix: v.optional(v.string()) })),
  /** When a run last ended with a snapshot; null before the first. */
  lastSnapshotAt: v.nullable(v.pipe(v.string(), v.isoTimestamp())),
  /** When that run had begun: what changed later is not in its snapshot for sure. */
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
