import { lstat, unlink } from 'node:fs/promises';
import { escapeName } from '../../../protocol/file-name.ts';
import { isMissing } from '../../../system/files.ts';
import { isPlainRelative, splitAtNul } from './separate.ts';

/**
 * Removes names of files whose content the disk does not give any more, so that the next walk finds them missing and they
 * are sent anew. What is missing already, or no plain file, is passed over.
 * @returns what could not be removed, escaped.
 * @param list paths below the directory, as bytes, each ended by NUL.
 */
export async function drop(list: Buffer): Promise<{ ok: true; left: string[] }> {
  const left: string[] = [];
  for (const path of splitAtNul(list)) {
    if (!isPlainRelative(path)) continue;
    try {
      if (!(await lstat(path)).isFile()) continue;
      await unlink(path);
    } catch (error) {
      // What the disk does not even say that of cannot be removed either.
      if ((error as NodeJS.ErrnoException).code === 'EIO') left.push(escapeName(path));
      else if (!isMissing(error)) throw error;
    }
  }
  return { ok: true, left };
}
