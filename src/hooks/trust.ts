import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { reasonOf } from '../errors.ts';

/**
 * Why somebody else than root, or than us, could change a program that is to be run, or undefined when nobody can. All
 * directories above it count, and links are followed.
 */
export async function whyNotOurs(path: string, ownUid = process.getuid?.() ?? 0): Promise<string | undefined> {
  try {
    for (let at = await realpath(path); ; at = dirname(at)) {
      const { uid, mode } = await stat(at);
      if (uid !== 0 && uid !== ownUid) return `${at} belongs to user ${uid}`;
      // Of a sticky directory such as /tmp others cannot take our names away.
      if ((mode & 0o022) !== 0 && (mode & 0o1000) === 0) return `others can write ${at}`;
      if (at === '/') return undefined;
    }
  } catch (error) {
    return reasonOf(error);
  }
}
