import { closeSync, constants, openSync, readSync, rmSync } from 'node:fs';
import { run } from './run.ts';

/** How often the pipe is emptied, in milliseconds: rarely, and more often while much comes. */
const calmMs = 25;
const busyMs = 2;
/** What one read takes at most: all that a pipe holds. */
const pipeBytes = 64 * 1024;
/** Half of what it holds at least: where one user has very many pipes, a new one gets no more than a page. */
const muchBytes = 2048;

/** A pipe from a program, read now and then and not at each line that it writes. */
export interface SlowPipe {
  /** Becomes the program's stream; ours is closed by `started`. */
  readonly writeFd: number;
  /** The program has it. */
  started(): void;
  /** The program has ended: gives what is left and closes. Nothing of it is lost. @throws what `onText` failed with. */
  end(): Promise<void>;
}

/**
 * A program that writes line by line wakes its reader line by line, and with 100,000 files that costs more than reading
 * them: the program is rsync, which does so whatever --outbuf says. So this reads all there is at intervals.
 * @param path a name that is free for a moment
 * @param onText what came, one byte a character; while it works on it, nothing more is read, and the program waits in the end
 * @throws ProgramError when no pipe can be made there.
 */
export async function openSlowPipe(path: string, onText: (text: string) => Promise<void> | void): Promise<SlowPipe> {
  await run(['mkfifo', '-m', '600', '--', path]);
  let readFd: number;
  let writeFd: number;
  try {
    // A pipe that nobody writes to yet is opened at once this way, and the other end because it has a reader.
    readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    writeFd = openSync(path, constants.O_WRONLY);
  } finally {
    rmSync(path, { force: true });
  }
  const buffer = Buffer.alloc(pipeBytes);
  const drain = async (): Promise<number> => {
    let total = 0;
    for (let count = readNow(readFd, buffer); count > 0; count = readNow(readFd, buffer)) {
      total += count;
      const done = onText(buffer.toString('latin1', 0, count));
      if (done !== undefined) await done;
    }
    return total;
  };
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const goOn = async (afterMs: number): Promise<void> => {
    for (let waitMs = afterMs; !isOver; ) {
      await new Promise<void>((resolve) => {
        endWait = resolve;
        timer = setTimeout(resolve, waitMs);
      });
      waitMs = (await drain()) >= muchBytes ? busyMs : calmMs;
    }
  };
  let endWait: (() => void) | undefined;
  const reading = goOn(calmMs);
  // Told by `end`.
  reading.catch(() => undefined);
  let isOurs = true;
  const started = () => {
    if (isOurs) closeSync(writeFd);
    isOurs = false;
  };
  return {
    writeFd,
    started,
    async end() {
      isOver = true;
      clearTimeout(timer);
      endWait?.();
      started();
      try {
        await reading;
        await drain();
      } finally {
        closeSync(readFd);
      }
    },
  };
}

/** Bytes that were there; 0 when there is nothing (for now, or any more). */
function readNow(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}
