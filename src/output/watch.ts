import { printable } from './printable.ts';

/** A terminal, or a file that is written to. */
interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const home = '\u001b[H';
const restOfLine = '\u001b[K';
const restOfScreen = '\u001b[J';

/**
 * Shows a text again and again until the signal fires: on a terminal in the same place, without flicker; elsewhere one
 * after the other with an empty line between.
 */
export async function watch(
  render: () => Promise<string>,
  {
    everyMs,
    signal,
    sleep,
    screen = process.stdout,
  }: {
    everyMs: number;
    signal: AbortSignal;
    sleep: (ms: number, signal: AbortSignal) => Promise<void>;
    screen?: Screen;
  },
): Promise<void> {
  const isTerminal = screen.isTTY === true;
  if (isTerminal) screen.write(`${home}${restOfScreen}`);
  while (!signal.aborted) {
    const text = printable(await render()).replace(/\n*$/, '\n');
    screen.write(isTerminal ? `${home}${text.replaceAll('\n', `${restOfLine}\n`)}${restOfScreen}` : `${text}\n`);
    // Being stopped is how it ends.
    await sleep(everyMs, signal).catch(() => undefined);
  }
}
