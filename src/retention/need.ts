import type { RunFigures } from './history.ts';

const dayMs = 86_400_000;
/** So many runs tell what the next one is likely to need. */
const recentRuns = 10;
/** Runs may be larger than any of the last ten. */
const margin = 1.25;
/** However much is expected, no more than this times `stop` is kept free: a single huge run asks at its own prepare. */
const mostOfStop = 1.25;

/** All runs that say something about the next. */
export function ordinaryRuns(runs: readonly RunFigures[]): RunFigures[] {
  return runs.filter((run) => run.first !== true);
}

/** The largest of the recent ordinary runs, in bytes; undefined when there is none yet. */
export function largestRecentRun(runs: readonly RunFigures[]): number | undefined {
  const recent = ordinaryRuns(runs).slice(-recentRuns);
  return recent.length === 0 ? undefined : Math.max(...recent.map((run) => run.writtenBytes));
}

/** True when the next run is to be expected within a day, going by the times between the recent ones. */
export function isDueWithinADay(runs: readonly RunFigures[], now: number): boolean {
  const recent = runs.slice(-recentRuns);
  const last = recent.at(-1);
  if (last === undefined) return false;
  const gaps = recent.slice(1).map((run, at) => run.time - (recent[at] as RunFigures).time);
  gaps.sort((a, b) => a - b);
  const usual = gaps[gaps.length >> 1] ?? dayMs;
  // One that has been silent for much longer than usual is away, and its return is asked for at its own prepare.
  if (now - last.time > Math.max(3 * usual, 2 * dayMs)) return false;
  return last.time + usual <= now + dayMs;
}

/** Bytes that the runs of the next day are expected to write, with a margin. */
export function expectedNeedBytes(runsOfClients: Iterable<readonly RunFigures[]>, now: number): number {
  let bytes = 0;
  for (const runs of runsOfClients) {
    if (isDueWithinADay(runs, now)) bytes += (largestRecentRun(runs) ?? 0) * margin;
  }
  return bytes;
}

/** When pruning begins and where it ends. */
export interface Thresholds {
  readonly startPercent: number;
  readonly stopPercent: number;
}

/**
 * The free space that pruning must reach now, or undefined when there is enough: below `start`, or below what the next
 * runs are expected to need, it goes on until `stop` and that need are both met.
 */
export function freeSpaceToReach(
  { freeBytes, totalBytes, needBytes }: { freeBytes: number; totalBytes: number; needBytes: number },
  { startPercent, stopPercent }: Thresholds,
): number | undefined {
  const stop = (totalBytes * stopPercent) / 100;
  const need = Math.min(needBytes, stop * mostOfStop);
  const start = (totalBytes * startPercent) / 100;
  return freeBytes < Math.max(start, need) ? Math.max(stop, need) : undefined;
}
