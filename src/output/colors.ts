import { Chalk, type ChalkInstance } from 'chalk';

/** A stream as far as colours and lines care. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * Colours for one stream: only on a terminal, and not where NO_COLOR (https://no-color.org) or TERM=dumb says no.
 * The sixteen basic colours, so that the person's own theme decides how they look.
 */
export function colorsFor(
  stream: Terminal,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ChalkInstance {
  const wanted = stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return new Chalk({ level: wanted ? 1 : 0 });
}
