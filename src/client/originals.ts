import { createHash } from 'node:crypto';
import { createReadStream, lstatSync } from 'node:fs';
import { isMissing } from '../system/files.ts';

/** True when a path, or the directory that it lies in, changed after a moment: then a difference needs no other reason. */
export function isNewerThan(path: Buffer, since: Date): boolean {
  const slash = path.lastIndexOf('/');
  for (const place of [path, path.subarray(0, Math.max(1, slash))]) {
    try {
      if (lstatSync(place).ctimeMs >= since.getTime() - 2000) return true;
    } catch (error) {
      // It has vanished: its directory tells.
      if (!isMissing(error)) throw error;
    }
  }
  return false;
}

/** SHA-256 of a plain file that is as long and as old as it is said to have been; null when it is not, or cannot be read. */
export async function digestOfUnchanged(
  path: Buffer,
  was: { sizeBytes: number; mtime: string },
): Promise<string | null> {
  try {
    const before = lstatSync(path, { bigint: true });
    if (!before.isFile() || Number(before.size) !== was.sizeBytes || before.mtimeNs !== nanoseconds(was.mtime))
      return null;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    // What was written meanwhile is no original any more.
    return lstatSync(path, { bigint: true }).ctimeNs === before.ctimeNs ? hash.digest('hex') : null;
  } catch {
    // Gone or unreadable: there is nothing to compare with.
    return null;
  }
}

function nanoseconds(seconds: string): bigint {
  const [whole = '0', fraction = '0'] = seconds.split('.');
  return BigInt(whole) * 1_000_000_000n + BigInt(fraction);
}
