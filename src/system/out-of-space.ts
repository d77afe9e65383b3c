import { ProgramError } from './run.ts';

/**
 * True for what failed because nothing could be written any more: by the kernel's code; of a program (LC_ALL=C) by how its line
 * ends, because a path may hold the same words.
 */
export function isOutOfSpace(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof ProgramError) return /: (?:No space left on device|Disk quota exceeded)$/m.test(error.stderr);
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT' || isOutOfSpace(error.cause);
}
