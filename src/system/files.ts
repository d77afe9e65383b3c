import { randomBytes } from 'node:crypto';
import { open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sweepTemporaryFiles } from './temporary.ts';

/** Who may read a file that is written, and whose it is; the writer's own by default. */
export interface FileOwnership {
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Replaces a file's content so that a crash at any moment leaves the old content or the new one, never a part, and the new one from
 * its return on: `replaceFile`, then fsync of the directory.
 */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  ownership: FileOwnership,
): Promise<void> {
  await replaceFile(path, content, ownership);
  await syncDirectory(dirname(path));
}

/**
 * The same, but that the old content may come back after a crash: a temporary file beside it, fsync, rename. The fsync that
 * is left out takes 5 to 12 ms on btrfs.
 */
export async function replaceFile(path: string, content: string | Uint8Array, ownership: FileOwnership): Promise<void> {
  await sweepTemporaryFiles(dirname(path));
  const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`);
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    if (ownership.uid !== undefined || ownership.gid !== undefined)
      await file.chown(ownership.uid ?? -1, ownership.gid ?? -1);
    await file.chmod(ownership.mode);
    await file.sync();
    // Open until it has its name: by that it is known to be in use.
    await rename(temporary, path);
    await file.close();
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    // Node names no file when a write through a descriptor fails.
    if (error instanceof Error) (error as NodeJS.ErrnoException).path ??= path;
    throw error;
  }
}

/** Makes the names in a directory durable: without it a rename can be lost with the power. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** True when the error says that the file or a directory on the way to it does not exist. */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
