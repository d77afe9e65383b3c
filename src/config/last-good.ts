import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomically } from '../system/files.ts';

/**
 * Keeps a text of server.toml that could be used, with the owner and mode of that file: who may not read the one may not read the
 * other. Only root can; for all others, and where nothing can be written, nothing happens: the settings are good now.
 */
export async function rememberGood(path: string, text: string, of: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  try {
    const { mode, uid, gid } = await stat(of);
    const rights = { mode: mode & 0o777, uid, gid };
    const known = await stat(path).catch(() => undefined);
    const isSame =
      known !== undefined && (known.mode & 0o777) === rights.mode && known.uid === uid && known.gid === gid;
    if (isSame && (await readLastGood(path)) === text) return;
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await writeFileAtomically(path, text, rights);
  } catch {
    // A disk that is full or read-only: the older good settings stay.
  }
}

/** The last text that could be used; undefined when none is known, or it is not root's. */
export async function readLastGood(path: string): Promise<string | undefined> {
  try {
    const { uid } = await stat(path);
    return uid === 0 ? await readFile(path, 'utf8') : undefined;
  } catch {
    return undefined;
  }
}
