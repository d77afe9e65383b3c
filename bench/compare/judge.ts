/** What the measurements say: medians, ratios, and which bounds hold. Pure. */
import type { BenchCase, Bound, Figure, Sizes } from './case.ts';
import type { Measured } from './measure.ts';

/** All runs of one case, by tool, round after round. */
export interface CaseResult {
  readonly benchCase: BenchCase;
  readonly runs: ReadonlyMap<string, readonly Measured[]>;
}

export interface Verdict {
  readonly bound: Bound;
  /** In words. */
  readonly asked: string;
  readonly got: number;
  readonly holds: boolean;
}

const tool = 'byteback';

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

export function figuresOf(result: CaseResult, name: string, figure: Figure): number[] {
  return (result.runs.get(name) ?? []).map((measured) => measured[figure]);
}

/** The ratio of two tools, round by round: what slows the machine slows both. */
export function ratioTo(result: CaseResult, name: string, other: string, figure: Figure): number {
  return ratioToBest(result, name, [other], figure);
}

/** The same to the best of some tools in each round; those that were not measured count for nothing. */
function ratioToBest(result: CaseResult, name: string, others: readonly string[], figure: Figure): number {
  const figures = others.map((other) => figuresOf(result, other, figure)).filter((each) => each.length > 0);
  return median(
    figuresOf(result, name, figure).map(
      (value, round) => value / Math.min(...figures.map((each) => each[round] ?? NaN)),
    ),
  );
}

const names: Readonly<Record<Figure, string>> = {
  seconds: 'time',
  cpuSeconds: 'work',
  wireBytes: 'bytes on the wire',
  diskBytes: 'new disk',
  metadataBytes: 'new metadata',
  clientBytes: 'memory of the client',
  serverBytes: 'memory of the server',
};

/** The bounds of a case that say something at these sizes. */
export function judge(result: CaseResult, sizes: Sizes): Verdict[] {
  return result.benchCase.bounds
    .filter(({ fullSizeOnly }) => !fullSizeOnly || sizes.scale >= 1)
    .map((bound) => {
      const { figure, times, above, most } = bound;
      if (times !== undefined) {
        const others = typeof times === 'string' ? [times] : times;
        const got = ratioToBest(result, tool, others, figure);
        const whose = others.length === 1 ? others[0] : `the better of ${others.join(' and ')}`;
        return { bound, asked: `${names[figure]} at most ${most} times that of ${whose}`, got, holds: got <= most };
      }
      if (above !== undefined) {
        const base = figuresOf(result, above, figure);
        const got = median(figuresOf(result, tool, figure).map((value, round) => value - (base[round] ?? 0)));
        return { bound, asked: `${names[figure]} at most ${most} s above ${above}`, got, holds: got <= most };
      }
      const got = median(figuresOf(result, tool, figure));
      return { bound, asked: `${names[figure]} at most ${most / 1e6} MB`, got: got / 1e6, holds: got <= most };
    });
}
