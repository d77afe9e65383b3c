import type { ClientConfig } from '../config/client-config.ts';
import type { ClientPaths } from '../config/paths.ts';
import type { Clock } from '../system/clock.ts';
import { type LastRun, readLastRun } from './last-run.ts';
import { findNextRun } from './next-run.ts';

/** How a client stands, as `byteback status --json` prints it. Times are ISO 8601, UTC. */
export interface OwnStatus {
  readonly destination: string;
  readonly source: readonly string[];
  /** Null before the first run. */
  readonly lastRun: LastRun | null;
  /** Null when nothing starts one by itself. */
  readonly nextRun: { readonly at: string | null; readonly by: string } | null;
  /** The last snapshot is older than two days, or there is none. */
  readonly overdue: boolean;
}

const twoDaysMs = 2 * 86_400_000;

/** Looks at what this client knows of itself, without asking the server; changes nothing. */
export async function readOwnStatus(config: ClientConfig, paths: ClientPaths, clock: Clock): Promise<OwnStatus> {
  const now = clock.now();
  const [lastRun, nextRun] = await Promise.all([readLastRun(paths.lastRun), findNextRun(paths, now)]);
  const lastSnapshotAt = lastRun?.lastSnapshotAt ?? null;
  return {
    destination: config.destination,
    source: config.source,
    lastRun: lastRun ?? null,
    nextRun: nextRun === undefined ? null : { at: nextRun.at?.toISOString() ?? null, by: nextRun.by },
    overdue: lastSnapshotAt === null || now.getTime() - Date.parse(lastSnapshotAt) > twoDaysMs,
  };
}
