import { lstat, unlink } from 'node:fs/promises';
import { isMissing } from '../../../system/files.ts';
import { isPlainRelative, splitAtNul } from './separate.ts';

/**
 * Removes names of files whose content the disk does not give any more, so that the next walk finds them missing and they
 * are sent anew. What is missing already, or no plain file, is passed over.
 * @param list paths below the directory, as bytes, each ended by NUL.
 */
export async function drop(list: Buffer): Promise<{ ok: true; dropped: number }> {
  let dropped = 0;
  for (const path of splitAtNul(list)) {
    if (!isPlainRelative(path)) continue;
    try {
      if (!(await lstat(path)).isFile()) continue;
      await unlink(path);
      dropped += 1;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return { ok: true, dropped };
}
