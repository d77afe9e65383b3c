import * as v from 'valibot';
import { CompleteRequestSchema, FailureSchema, HookOutcomeSchema } from './messages.ts';
import { ClientNameSchema, RunIdSchema, SnapshotNameSchema } from './names.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());

/** A drill in which files of a snapshot were compared with the client's own, and every one was equal. */
export const ProvenSchema = v.object({
  /** The server's clock. */
  at: Time,
  snapshot: SnapshotNameSchema,
  files: v.number(),
  bytes: v.number(),
  /** What was drawn. */
  drawnFiles: v.optional(v.number()),
  drawnBytes: v.optional(v.number()),
  /** Drills since the one before that proved it, this one included: more than 1 when some proved nothing. */
  draws: v.optional(v.number()),
});

/**
 * `current/run.json`, root's: the state of the newest run of a client. It is frozen with the snapshot, so that each
 * snapshot holds the record of the run that made it; a copy lies under `.byteback/runs/<client>/<run>.json`.
 *
 * `open` runs may transfer; `completed` ones may not; a run that is superseded is simply no longer the one in this file.
 */
export const RunRecordSchema = v.object({
  format: v.literal(1),
  client: ClientNameSchema,
  run: RunIdSchema,
  state: v.picklist(['open', 'completed']),
  machineId: v.string(),
  clientVersion: v.string(),
  /** The server's clock. */
  preparedAt: Time,
  /** Of the server when it was prepared: what was not yet on its disk when it was started anew is lost. */
  bootId: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/))),
  expectedBytes: v.number(),
  /** False when single sources were named on the client: its figures say nothing of the tree. */
  whole: v.optional(v.boolean()),
  /** The last completed run before this one; kept for the record, `current` no longer equals it once this run is open. */
  previous: v.nullable(RunIdSchema),
  /**
   * What the run is held to: when it has written more than `limitBytes` (null: any amount) and less than `floorBytes`
   * are free, it is ended, because others would have to pay for it.
   */
  growth: v.optional(
    v.object({
      limitBytes: v.nullable(v.number()),
      floorBytes: v.number(),
      /** Room is made for it in such steps, as it writes, so that this much stays free. */
      leastFreeBytes: v.optional(v.number()),
      stepBytes: v.optional(v.number()),
      /** What simple quotas had charged its client before it. */
      chargedBytes: v.optional(v.number()),
    }),
  ),
  /** Every transfer that ended, in order; `exitCode` is rsync's or 128 + signal. */
  transfers: v.array(
    v.object({
      endedAt: Time,
      exitCode: v.number(),
      /** Set when the server ended or refused it, or saw it fail on the disk. */
      failure: v.nullable(FailureSchema),
    }),
  ),
  completedAt: v.optional(Time),
  snapshot: v.optional(SnapshotNameSchema),
  status: v.optional(v.picklist(['ok', 'partial'])),
  unread: v.optional(CompleteRequestSchema.entries.unread),
  figures: v.optional(CompleteRequestSchema.entries.figures),
  /** The client's before the run, the server's at prepare and (in root's copy of the record) at complete. */
  hooks: v.optional(v.array(HookOutcomeSchema)),
  /** The client has hooks to run yet, and says then how they ended. */
  awaitsEnd: v.optional(v.boolean()),
  resent: CompleteRequestSchema.entries.resent,
  grew: CompleteRequestSchema.entries.grew,
  /** What was damaged in `current` and is sent again by this run, escaped. */
  mending: v.optional(v.array(v.string())),
  /** When this client was last proven restorable, as known at the end of this run. */
  lastProven: v.optional(ProvenSchema),
});
export type RunRecord = v.InferOutput<typeof RunRecordSchema>;
