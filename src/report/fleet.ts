import * as v from 'valibot';
import type { ClientName } from '../protocol/names.ts';

/**
 * How a server stands: what `byteback status --json` prints, and what the metrics, the check and the page are made of.
 * The JSON schema in docs/ is generated from this file. Times are ISO 8601, UTC; sizes are bytes, durations milliseconds.
 */

const Time = v.pipe(v.string(), v.isoTimestamp());
const Size = v.pipe(v.number(), v.minValue(0));

/** Something that somebody should look at. */
export const AlertSchema = v.object({
  id: v.pipe(
    v.string(),
    v.description('which check found it, such as store-read-only; it stays the same from version to version'),
  ),
  level: v.picklist(['warning', 'critical']),
  client: v.pipe(v.nullable(v.string()), v.description('null when it is about the store')),
  what: v.string(),
  fix: v.pipe(v.nullable(v.string()), v.description('what to do next, where that is known')),
});
export type Alert = v.InferOutput<typeof AlertSchema>;

/** A transfer that is under way now. */
export const RunningSchema = v.object({
  kind: v.picklist(['backup', 'check', 'restore']),
  run: v.nullable(v.string()),
  since: Time,
  expectedBytes: v.pipe(
    v.nullable(Size),
    v.description('what the client announced; null when it is not known, as for a check or a restore'),
  ),
  doneBytes: v.pipe(
    Size,
    v.description('written by the receiver, or read for a check or a restore, since the transfer began'),
  ),
  bytesPerSecond: v.pipe(Size, v.description('on the average since the transfer began')),
});
export type Running = v.InferOutput<typeof RunningSchema>;

/** A snapshot that stays until it is released. */
export const HoldSchema = v.object({
  snapshot: v.string(),
  reason: v.string(),
  since: Time,
  by: v.picklist(['admin', 'growth-guard', 'destruction-guard']),
});

export const ClientStatusSchema = v.object({
  name: v.string(),
  registered: v.pipe(v.boolean(), v.description('false when its key is gone: its history stays, it cannot add to it')),
  snapshots: v.pipe(v.number(), v.description('how many there are')),
  held: v.pipe(v.number(), v.description('how many of them are held')),
  holds: v.array(HoldSchema),
  oldestAt: v.nullable(Time),
  newest: v.nullable(
    v.object({
      name: v.string(),
      at: Time,
      status: v.pipe(
        v.picklist(['ok', 'partial', 'unknown']),
        v.description('unknown for snapshots of the original byteback'),
      ),
      totalBytes: v.pipe(v.nullable(Size), v.description('all files in it, as the client counted them')),
      files: v.nullable(Size),
      sentBytes: v.nullable(Size),
      durationMs: v.nullable(Size),
      unread: v.pipe(v.nullable(v.number()), v.description('files that the client could not read')),
    }),
  ),
  rhythmMs: v.pipe(
    v.nullable(Size),
    v.description('the usual time between two of its backups; null while there are fewer than two'),
  ),
  openRunSince: v.pipe(
    v.nullable(Time),
    v.description('when the run began that is under way or was given up; null when the last one completed'),
  ),
  running: v.array(RunningSchema),
  overdue: v.pipe(v.boolean(), v.description('the newest snapshot is much older than its rhythm lets expect')),
  pruningPaused: v.pipe(v.nullable(v.string()), v.description('why its pruning is paused')),
  depthDays: v.pipe(v.nullable(Size), v.description('how far back its history goes; null before the first prune')),
  depthWithMoreDays: v.pipe(
    v.nullable(Size),
    v.description('how far it would go with `store.forecastBytes` more disk; null when space does not limit it'),
  ),
  historyBytes: v.pipe(v.nullable(Size), v.description('what its snapshots hold beyond its newest tree')),
  forecast: v.pipe(v.nullable(v.string()), v.description('the same in a sentence')),
  lastProven: v.pipe(
    v.nullable(v.object({ at: Time, snapshot: v.nullable(v.string()) })),
    v.description('when a restore of it was last proven'),
  ),
});
export type ClientStatus = Omit<v.InferOutput<typeof ClientStatusSchema>, 'name'> & { readonly name: ClientName };

export const StoreStatusSchema = v.object({
  path: v.string(),
  totalBytes: Size,
  freeBytes: v.pipe(Size, v.description('what counts: room for data, or less when metadata are about to run out')),
  pruneBelowPercent: v.number(),
  pruneUntilPercent: v.number(),
  historyBytes: v.pipe(Size, v.description('what all snapshots hold beyond the newest trees')),
  nextRunsBytes: v.pipe(Size, v.description('what the runs of the next day are expected to write')),
  nextRunsFit: v.pipe(v.boolean(), v.description('there is room for them, or history that may go for them')),
  state: v.pipe(
    v.picklist(['filling', 'full-of-history', 'short', 'away']),
    v.description(
      'full-of-history is how it should be; short: room is missing that pruning does not give; away: there is no store, and no figure of it',
    ),
  ),
  inWords: v.string(),
  forecastBytes: v.pipe(Size, v.description('the extra disk that forecasts suppose')),
});
export type StoreStatus = v.InferOutput<typeof StoreStatusSchema>;

export const ServerStatusSchema = v.object({
  at: v.pipe(Time, v.description('when this was looked up')),
  store: StoreStatusSchema,
  clients: v.array(ClientStatusSchema),
  alerts: v.pipe(v.array(AlertSchema), v.description('the critical ones first')),
});
export type ServerStatus = Omit<v.InferOutput<typeof ServerStatusSchema>, 'clients'> & {
  readonly clients: readonly ClientStatus[];
};
