import { closeSync, constants, openSync } from 'node:fs';
import { run } from './run.ts';

/** The two ends of a pipe between two programs; both are closed here once both programs have them. */
export interface PipeEnds {
  readonly readFd: number;
  readonly writeFd: number;
  close(): void;
}

/**
 * A pipe from one program to another, so that what goes through it does not go through us: Node can make none itself, and
 * so it is a named one (fifo(7)).
 * @param path where it is made; nothing may be there yet
 */
export async function openPipe(path: string): Promise<PipeEnds> {
  await run(['mkfifo', '--mode=600', '--', path]);
  // Opening one end waits for the other, unless somebody has both.
  const both = openSync(path, constants.O_RDWR);
  const open: number[] = [];
  try {
    for (const flags of [constants.O_RDONLY, constants.O_WRONLY]) open.push(openSync(path, flags));
  } finally {
    closeSync(both);
  }
  const [readFd = -1, writeFd = -1] = open;
  const close = () => {
    for (const fd of open.splice(0)) closeSync(fd);
  };
  return { readFd, writeFd, close };
}
