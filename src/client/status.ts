import * as v from 'valibot';
import type { ClientConfig } from '../config/client-config.ts';
import type { ClientPaths } from '../config/paths.ts';
import type { Clock } from '../system/clock.ts';
import { LastRunSchema, readLastRun } from './last-run.ts';
import { findNextRun } from './next-run.ts';
import { recallServer } from './server-says.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());

/** How a client stands, as `byteback status --json` prints it. Times are ISO 8601, UTC. */
export const OwnStatusSchema = v.object({
  destination: v.string(),
  source: v.array(v.string()),
  lastRun: v.pipe(v.nullable(LastRunSchema), v.description('null before the first run')),
  nextRun: v.pipe(
    v.nullable(v.object({ at: v.nullable(Time), by: v.string() })),
    v.description('null when nothing starts one by itself; at is null when it is not known'),
  ),
  overdue: v.pipe(
    v.boolean(),
    v.description(
      'there is no snapshot, or the last one is older than the server lets expect; two days where it did not say',
    ),
  ),
});
export type OwnStatus = v.InferOutput<typeof OwnStatusSchema>;

/** Until a server has said what it expects. */
const twoDaysMs = 2 * 86_400_000;

/** Looks at what this client knows of itself, without asking the server; changes nothing. */
export async function readOwnStatus(config: ClientConfig, paths: ClientPaths, clock: Clock): Promise<OwnStatus> {
  const now = clock.now();
  const [lastRun, nextRun, { longestSilenceMs = twoDaysMs }] = await Promise.all([
    readLastRun(paths.lastRun),
    findNextRun(paths, now),
    recallServer(paths.stateDir),
  ]);
  const lastSnapshotAt = lastRun?.lastSnapshotAt ?? null;
  return {
    destination: config.destination,
    source: [...config.source],
    lastRun: lastRun ?? null,
    nextRun: nextRun === undefined ? null : { at: nextRun.at?.toISOString() ?? null, by: nextRun.by },
    overdue:
      lastSnapshotAt === null ||
      (longestSilenceMs !== null && now.getTime() - Date.parse(lastSnapshotAt) > longestSilenceMs),
  };
}
