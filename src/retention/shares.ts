/**
 * Who pays. A client's fair share is its part, by weight, of all history that there is; history is what snapshots hold
 * beyond the clients' present trees. The one with the most history for its weight pays first, so the shares level out
 * from above, and a client within its share keeps what it has.
 */

/** One client's part. */
export interface Holding {
  readonly client: string;
  readonly weight: number;
  /** What its history costs, in bytes. */
  historyBytes: number;
}

/** Below this difference two shares are the same: rounding must not make somebody pay. */
const tolerance = 1e-9;

/** Bytes of history per unit of weight that everybody would have if all had their share. */
export function fairBytesPerWeight(holdings: Iterable<Holding>): number {
  let bytes = 0;
  let weight = 0;
  for (const holding of holdings) {
    bytes += holding.historyBytes;
    weight += holding.weight;
  }
  return weight === 0 ? 0 : bytes / weight;
}

/** True when a client has no more than its fair share; `fair` from fairBytesPerWeight. */
export function isWithinShare(holding: Holding, fair: number): boolean {
  return holding.historyBytes / holding.weight < fair * (1 - tolerance);
}

/** How many times its fair share a client has; 1 when nobody has any history. */
export function timesItsShare(holding: Holding, fair: number): number {
  return fair === 0 ? 1 : holding.historyBytes / holding.weight / fair;
}

/**
 * The client that pays next: the furthest above its share of those that still have something to give, or undefined
 * when all of those are within their share. When all have the same, nobody is above and the first by name pays.
 */
export function nextPayer(holdings: readonly Holding[], canGive: (holding: Holding) => boolean): Holding | undefined {
  const fair = fairBytesPerWeight(holdings);
  let payer: Holding | undefined;
  for (const holding of holdings) {
    if (isWithinShare(holding, fair)) continue;
    // What somebody can give costs time to find out, so it is asked last.
    if (payer !== undefined && !isFurther(holding, payer)) continue;
    if (canGive(holding)) payer = holding;
  }
  return payer;
}

function isFurther(a: Holding, b: Holding): boolean {
  const ofA = a.historyBytes / a.weight;
  const ofB = b.historyBytes / b.weight;
  return ofA > ofB || (ofA === ofB && a.client < b.client);
}
