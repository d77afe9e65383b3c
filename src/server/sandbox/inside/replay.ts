import { randomBytes } from 'node:crypto';
import { lstat, mkdir, rename, rm } from 'node:fs/promises';
import { isMissing } from '../../../system/files.ts';
import { isPlainRelative, splitAtNul } from './separate.ts';

/** One rename that the client saw: where it was, where it is. */
interface Rename {
  readonly from: Buffer;
  readonly to: Buffer;
}

/**
 * Replays renames by rename(2) alone, in an order that survives swaps and chains: first everything is pulled out of its old
 * place, the deepest first, then put into its new one, the topmost first. What stood at a new place is deleted. A rename
 * that cannot be done is counted; the client then walks everything.
 * @param list pairs of paths below the directory, from and to, each ended by NUL
 */
export async function replay(list: Buffer): Promise<{ ok: true; failed: number }> {
  const paths = [...splitAtNul(list)];
  const stage = Buffer.from(`.${randomBytes(8).toString('hex')}.moves`);
  const renames: Rename[] = [];
  let failed = paths.length % 2;
  for (let at = 0; at + 1 < paths.length; at += 2) {
    const [from, to] = [paths[at], paths[at + 1]];
    if (from !== undefined && to !== undefined && isPlainRelative(from) && isPlainRelative(to))
      renames.push({ from, to });
    else failed += 1;
  }
  const staged: { place: Buffer; to: Buffer }[] = [];
  await mkdir(stage, { mode: 0o700 });
  try {
    for (const { from, to } of renames.toSorted((a, b) => depth(b.from) - depth(a.from))) {
      const place = below(stage, `${staged.length}`);
      if (await tried(() => rename(from, place))) staged.push({ place, to });
      else failed += 1;
    }
    for (const [index, { place, to }] of staged.toSorted((a, b) => depth(a.to) - depth(b.to)).entries()) {
      const done = await tried(async () => {
        await makeWay(to, async (path) => rename(path, below(stage, `way-${index}`)));
        if (await exists(to)) await rename(to, below(stage, `old-${index}`));
        await rename(place, to);
      });
      if (!done) failed += 1;
    }
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
  return { ok: true, failed };
}

/** Makes the directories on the way to a path; what stands there and is none is put aside. */
async function makeWay(path: Buffer, putAside: (path: Buffer) => Promise<void>): Promise<void> {
  for (let end = path.indexOf('/'); end > 0; end = path.indexOf('/', end + 1)) {
    const directory = path.subarray(0, end);
    const stats = await lstat(directory).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (stats?.isDirectory()) continue;
    if (stats !== undefined) await putAside(directory);
    await mkdir(directory, { mode: 0o700 });
  }
}

/** False when the file system refuses; whatever else is thrown is a bug. */
async function tried(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return false;
    throw error;
  }
}

async function exists(path: Buffer): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function below(directory: Buffer, name: string): Buffer {
  return Buffer.concat([directory, Buffer.from(`/${name}`)]);
}

function depth(path: Buffer): number {
  return path.toString('latin1').split('/').length;
}
