import { fairBytesPerWeight, type Holding } from './shares.ts';

const dayMs = 86_400_000;

/** How far back one client's history goes, and what more disk would give. */
export interface Forecast {
  readonly client: string;
  readonly snapshots: number;
  /** Age of the oldest snapshot, in days. */
  readonly depthDays: number;
  readonly historyBytes: number;
  /** How many times its fair share of all history it has. */
  readonly timesItsShare: number;
  /** False when nothing had to be pruned yet, so that the depth only says how long the client has been here. */
  readonly limitedBySpace: boolean;
  /** Depth in days that the extra disk would give at today's churn; undefined when it is not limited by space. */
  readonly depthWithMoreDays?: number;
}

/** What is known of one client for a forecast. */
export interface ForecastInput extends Holding {
  readonly snapshots: number;
  readonly oldest: number;
  /** True when something of this client has been pruned for room. */
  readonly pruned: boolean;
}

/**
 * History depth for each client, and with `extraBytes` more disk. More room goes, by weight, to those
 * of whom something had to go already; each keeps its rate of bytes of history per day.
 */
export function forecast(inputs: readonly ForecastInput[], now: number, extraBytes: number): Forecast[] {
  const fair = fairBytesPerWeight(inputs);
  const limited = inputs.filter((input) => input.pruned);
  const weight = limited.reduce((sum, input) => sum + input.weight, 0);
  return inputs.map((input) => {
    const depthDays = Math.max(0, (now - input.oldest) / dayMs);
    const extra = input.pruned ? (extraBytes * input.weight) / weight : 0;
    return {
      client: input.client,
      snapshots: input.snapshots,
      depthDays,
      historyBytes: input.historyBytes,
      timesItsShare: fair === 0 ? 1 : input.historyBytes / input.weight / fair,
      limitedBySpace: input.pruned,
      ...(input.pruned && input.historyBytes > 0
        ? { depthWithMoreDays: (depthDays * (input.historyBytes + extra)) / input.historyBytes }
        : {}),
    };
  });
}
