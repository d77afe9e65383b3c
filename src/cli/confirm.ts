import { BytebackError } from '../errors.ts';
import { printable } from '../output/printable.ts';
import type { Log } from '../system/log.ts';

/**
 * Asks a yes-or-no question on the terminal; anything but a clear yes is a no.
 * @throws BytebackError (usage) when there is no terminal to ask on.
 */
export async function askYesOrNo(question: string, signal: AbortSignal, log: Log): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new BytebackError('usage', {
      what: `nobody to ask: ${question}`,
      why: 'standard input is no terminal',
      fix: 'run it on a terminal, or answer beforehand with --yes',
    });
  }
  log.progress(undefined);
  const { createInterface } = await import('node:readline/promises');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${printable(question)} [y/N] `, { signal });
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
