/** What a case of the benchmark is, and what it says. One file a case in ../cases, all of them listed in ../cases/all.ts. */

import type { Bench } from './bench-machine.ts';
import type { Measured } from './measure.ts';

/** One thing that is measured, for every tool the same. */
export interface BenchCase {
  /** One word of the command line. */
  readonly name: string;
  /** One line for the table, with the sizes that were asked for. */
  what(sizes: Sizes): string;
  /** Only when it is named, or with --all: it takes long. */
  readonly long?: boolean;
  readonly bounds: readonly Bound[];
  /** Does it, and tells each measurement. Whatever it makes it also removes. */
  run(bench: Bench, tell: Tell): Promise<void>;
}

/** One run of one tool. */
export type Tell = (tool: string, measured: Measured) => void;

/** What may be chosen on the command line. */
export interface Sizes {
  readonly files: number;
  readonly rounds: number;
  /** How much less than the full sizes are used: 1, or a fraction in a quick run. */
  readonly scale: number;
}

/** A figure of a run. */
export type Figure =
  | 'seconds'
  | 'cpuSeconds'
  | 'wireBytes'
  | 'diskBytes'
  | 'metadataBytes'
  | 'clientBytes'
  | 'serverBytes';

/** What must hold of byteback. */
export interface Bound {
  readonly figure: Figure;
  /** At most so many times the figure of this tool, or of the best of these, in the same round; without it `most` is the figure itself. */
  readonly times?: string | readonly string[];
  /** At most so much more than the figure of this tool. */
  readonly above?: string;
  readonly most: number;
  /** It only says something at the full sizes. */
  readonly fullSizeOnly?: boolean;
}
