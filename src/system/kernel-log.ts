import { closeSync, constants, openSync, readSync } from 'node:fs';

/** One record of the kernel's log. */
export interface KernelMessage {
  /** Counts up by one from the start of the machine. Times are no help: they are of another clock than all others. */
  readonly sequence: number;
  readonly text: string;
}

/**
 * The messages of the kernel that it still has. Read as records, not as lines: a file name in a message cannot look like
 * another message. Needs root.
 * @returns undefined when this machine shows its kernel's log to nobody, as in a container.
 */
export function kernelMessages(): KernelMessage[] | undefined {
  let file: number;
  try {
    file = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  const messages: KernelMessage[] = [];
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
      if (message !== undefined) messages.push(message);
    }
  } finally {
    closeSync(file);
  }
}

/** One record: "6,339,5140900,-;text", and lines of details after it (kernel: Documentation/ABI/testing/dev-kmsg). */
export function parseKernelRecord(record: string): KernelMessage | undefined {
  const [, sequence, text] = /^\d+,(\d+),\d+,[^;]*;([^\n]*)/.exec(record) ?? [];
  return sequence === undefined || text === undefined ? undefined : { sequence: Number(sequence), text };
}
