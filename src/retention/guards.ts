import type { RunFigures } from './history.ts';
import { ordinaryRuns } from './need.ts';

/** Fewer runs than this say too little about what is usual. */
const runsToJudge = 3;
/** A tree with fewer files or bytes than this changes as a whole every day. */
const smallTreeFiles = 20;

/** What decides whether a run is suddenly much larger. */
export interface GrowthRule {
  /** A run may be so many times the second largest of the client's last 30 runs: one outlier makes no habit. */
  readonly factor: number;
  /** No run below this is ever suspicious, in bytes. */
  readonly floorBytes: number;
}

/** The second largest of a client's recent runs, in bytes: what it writes on a busy day; undefined while too little is known. */
export function usualRunBytes(runs: readonly RunFigures[]): number | undefined {
  const sizes = ordinaryRuns(runs).map((run) => run.writtenBytes);
  if (sizes.length < runsToJudge) return undefined;
  sizes.sort((a, b) => b - a);
  return sizes[1] ?? 0;
}

/** The most that a run may write before it counts as suddenly much larger, in bytes; Infinity while too little is known. */
export function growthLimitBytes(runs: readonly RunFigures[], { factor, floorBytes }: GrowthRule): number {
  const usual = usualRunBytes(runs);
  return usual === undefined ? Number.POSITIVE_INFINITY : Math.max(usual * factor, floorBytes);
}

/** What a run found and wrote, against the run before it. */
export interface TreeChange {
  readonly filesBefore: number;
  readonly filesNow: number;
  readonly bytesBefore: number;
  readonly bytesNow: number;
  /** Bytes that were new on the disk, or of the files that were sent where the disk cannot tell: what a rewritten tree shows itself by. */
  readonly sentBytes: number;
  /** The most that its runs usually write; undefined while too little is known. */
  readonly usualBytes?: number | undefined;
  /** Time since the run before. */
  readonly elapsedMs: number;
  /** This client does so as a habit; see hasHabit. */
  readonly isHabit?: boolean;
}

/** The part of a tree that must be gone or rewritten at once. */
const destroyedPart = 0.5;
/** A tree that is rewritten so often that a run writes nearly this much more than usual is not in danger. */
const unusualFactor = 3;
/** What changed in more time than this did not change suddenly. */
const suddenMs = 30 * 86_400_000;

/** So many of the last runs that changed half of the tree or more make a habit. */
const habitRuns = 5;
const habitAmong = 10;

/** The part of a tree (0 to 1) that was gone or rewritten in a run. */
export function changedPart({ filesBefore, filesNow, bytesBefore, bytesNow, sentBytes }: TreeChange): number {
  // An empty source is no habit, however often it comes.
  if (filesBefore <= 0 || bytesBefore <= 0 || filesNow === 0) return 0;
  const rewritten = Math.min(bytesBefore, sentBytes - Math.max(0, bytesNow - bytesBefore)) / bytesBefore;
  return Math.min(1, Math.max(0, 1 - filesNow / filesBefore, 1 - bytesNow / bytesBefore, rewritten));
}

/** True when a client changes half of its tree or more so often that one more time says nothing. */
export function hasHabit(runs: readonly RunFigures[]): boolean {
  const recent = ordinaryRuns(runs).slice(-habitAmong);
  return recent.filter((run) => (run.changedPart ?? 0) >= destroyedPart).length >= habitRuns;
}

/**
 * Why a run looks like a disaster that is being backed up (ransomware, an unmounted disk), or undefined when it does
 * not. Such a run is taken all the same: its snapshot may be all that is left of the client.
 */
export function whyDestructive(change: TreeChange): string | undefined {
  const { filesBefore, filesNow, bytesBefore, bytesNow, sentBytes, elapsedMs } = change;
  if (filesBefore < smallTreeFiles || bytesBefore <= 0 || elapsedMs > suddenMs) return undefined;
  const percent = (part: number) => `${Math.round(part * 100)} %`;
  if (filesNow === 0) return `all of its ${filesBefore.toLocaleString('en')} files are gone`;
  if (change.isHabit === true) return undefined;
  const gone = 1 - filesNow / filesBefore;
  if (gone >= destroyedPart) return `${percent(gone)} of its ${filesBefore.toLocaleString('en')} files are gone`;
  const lost = 1 - bytesNow / bytesBefore;
  if (lost >= destroyedPart) return `${percent(lost)} of its data are gone`;
  if (change.usualBytes !== undefined && sentBytes < change.usualBytes * unusualFactor) return undefined;
  // What is sent is new or rewritten; growth of the tree is no rewriting.
  const rewritten = Math.min(bytesBefore, sentBytes - Math.max(0, bytesNow - bytesBefore)) / bytesBefore;
  if (rewritten >= destroyedPart) return `${percent(rewritten)} of its data were rewritten at once`;
  return undefined;
}
