import { closeSync, constants, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** Microseconds since the machine started, as the kernel's log counts them. */
export async function kernelTime(): Promise<number> {
  return Math.floor(Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]) * 1e6);
}

/**
 * The messages of the kernel since a moment. Read as records, not as lines: a file name in a message cannot look like
 * another message. Needs root.
 * @returns undefined when this machine shows its kernel's log to nobody, as in a container.
 */
export function kernelMessages(sinceMicroseconds: number): string[] | undefined {
  let file: number;
  try {
    file = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const messages: string[] = [];
  const record = Buffer.alloc(16_384);
  try {
    for (;;) {
      let length: number;
      try {
        length = readSync(file, record);
      } catch (error) {
        // EPIPE: records were overwritten while we read; the next read goes on with the oldest that is left.
        if ((error as NodeJS.ErrnoException).code === 'EPIPE') continue;
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return messages;
        return undefined;
      }
      if (length === 0) return messages;
      const message = parseKernelRecord(record.toString('utf8', 0, length));
      if (message !== undefined && message.time >= sinceMicroseconds) messages.push(message.text);
    }
  } finally {
    closeSync(file);
  }
}

/** One record: "6,339,5140900,-;text", and lines of details after it. */
export function parseKernelRecord(record: string): { time: number; text: string } | undefined {
  const [, time, text] = /^\d+,\d+,(\d+),[^;]*;([^\n]*)/.exec(record) ?? [];
  return time === undefined || text === undefined ? undefined : { time: Number(time), text };
}
