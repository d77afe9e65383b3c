/** What a run that asks to be let in is judged by; bytes. */
export interface Asking {
  /** What it announces. */
  readonly announcedBytes: number;
  /** The most that it may write without being suddenly much larger than usual; see growthLimitBytes. */
  readonly limitBytes: number;
  /** True when the admin lets the next run of this client through, however large. */
  readonly allowed: boolean;
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly startPercent: number;
}

/**
 * `go`: it fits. `make-room`: prune first, until `aimBytes` are free if that can be had; it may go when `leastBytes` are.
 * `too-large`: it is suddenly much larger than usual and would cost others, or its own past, so it does not go.
 */
export type Admission =
  | { readonly verdict: 'go' }
  | { readonly verdict: 'make-room'; readonly aimBytes: number; readonly leastBytes: number }
  | { readonly verdict: 'too-large' };

/** Room that a run is given beyond what it announced: for metadata, and for what it could only guess. */
const margin = 1.05;

/** Free space that no run may use up: for what is written meanwhile, and for the next prune. 1 GB, or 5 % of a small store. */
export function reserveBytes(totalBytes: number): number {
  return Math.min(1_000_000_000, Math.floor(totalBytes / 20));
}

/** What must be left when a run is done: half of `start` (bytes), so that pruning still has room to work in. */
export function floorBytes(totalBytes: number, start: number): number {
  return Math.max(reserveBytes(totalBytes), start / 2);
}

/** What must be free, if need be after pruning, for a run that announces so much to be let in. */
export function leastFreeBytes(announcedBytes: number, totalBytes: number, startPercent: number): number {
  return announcedBytes * margin + floorBytes(totalBytes, (totalBytes * startPercent) / 100);
}

/**
 * Whether a run may begin. One that is much larger than usual may take what room there is, down to where pruning would
 * begin, but nothing is deleted for it unless the admin says so.
 */
export function judgeRun({
  announcedBytes,
  limitBytes,
  allowed,
  freeBytes,
  totalBytes,
  startPercent,
}: Asking): Admission {
  // What needs nothing takes nothing from anybody.
  if (announcedBytes === 0) return { verdict: 'go' };
  const needed = announcedBytes * margin;
  const start = (totalBytes * startPercent) / 100;
  if (freeBytes - needed >= start) return { verdict: 'go' };
  const leastBytes = leastFreeBytes(announcedBytes, totalBytes, startPercent);
  // What not even the whole store could hold is no question of who pays.
  if (announcedBytes > limitBytes && !allowed && leastBytes <= totalBytes) return { verdict: 'too-large' };
  return { verdict: 'make-room', aimBytes: needed + start, leastBytes };
}

const mebibyte = 1024 * 1024;

/** Room is made for a run in steps of this size, as it writes; bytes. */
export function roomStepBytes(totalBytes: number): number {
  return Math.min(totalBytes / 20, Math.max(totalBytes / 100, 256 * mebibyte));
}

/** What decides how much a client of whom too little is known may write at others' expense. */
export interface Newcomer {
  readonly totalBytes: number;
  readonly weight: number;
  /** Of all clients, this one included. */
  readonly allWeights: number;
  /** What it has on the disk already, its files of today included; bytes. */
  readonly hasBytes: number;
}

/** The most that such a client may write where others have to pay for it: what its share of the store still has room for. */
export function newcomerLimitBytes({ totalBytes, weight, allWeights, hasBytes }: Newcomer): number {
  return Math.max(0, (totalBytes * weight) / Math.max(weight, allWeights) - hasBytes);
}
