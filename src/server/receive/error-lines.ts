import type { Readable } from 'node:stream';

/** No line that is passed on is longer, in bytes. */
const maxLineBytes = 4096;
/** Nothing is passed on beyond this, of one session. */
const maxTotalBytes = 1024 * 1024;

/**
 * Reads what a program in the jail says on stderr, line by line, to its end. Each line is given without the bytes
 * that steer a terminal; a line without end does not fill the memory.
 */
export async function readErrorLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  let rest = '';
  let total = 0;
  const give = (line: string) => {
    total += line.length;
    if (total <= maxTotalBytes) onLine(printable(line.slice(0, maxLineBytes)));
  };
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) give(line);
      if (rest.length > maxLineBytes) {
        give(rest);
        rest = '';
      }
    }
  } catch {
    // The stream broke off; what came before counts.
  }
  if (rest !== '') give(rest);
}

/** rsync escapes names by itself, but whoever has taken it over does not. C0, C1 and delete become question marks. */
export function printable(latin1: string): string {
  return latin1.replaceAll(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, '?');
}
