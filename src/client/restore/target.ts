import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { BytebackError, reasonOf } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { parseSnapshotName, type SnapshotName } from '../../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { everything } from './names.ts';

/** What one restore writes, and where. */
export interface Target {
  readonly directory: string;
  readonly snapshot: SnapshotName;
  /** Relative to the root, as `relativeToRoot` has them. */
  readonly names: readonly Buffer[];
}

/** The path of one name below a directory, as bytes. */
export function pathIn(directory: string, name: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(directory.replace(/\/+$/, '')), Buffer.from('/'), name]);
}

async function exists(path: Buffer, asDirectory = false): Promise<boolean> {
  try {
    const stat = await lstat(path);
    return !asDirectory || stat.isDirectory();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * The first thing in a directory that is no empty directory. A new ext4 has lost+found, a machine's new disks are mounted
 * below each other: nothing of the client is in those.
 */
async function firstFile(path: Buffer, depth: number): Promise<Buffer | undefined> {
  if (depth === 0 || !(await lstat(path)).isDirectory()) return path;
  for (const entry of await readdir(path, { encoding: 'buffer' })) {
    const found = await firstFile(Buffer.concat([path, Buffer.from('/'), entry]), depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What stands where something is to be restored; undefined when the place is free. */
export async function whatIsThere({ directory, names }: Target): Promise<Buffer | undefined> {
  for (const name of names) {
    if (name.equals(everything)) {
      const entries = await readdir(directory, { encoding: 'buffer' }).catch((error: unknown) => {
        if (isMissing(error)) return [];
        throw error;
      });
      for (const entry of entries) {
        const other = await firstFile(pathIn(directory, entry), 8);
        if (other !== undefined) return other;
      }
    } else if (await exists(pathIn(directory, name))) {
      return pathIn(directory, name);
    }
  }
  return undefined;
}

/** True when every directory on the way to every name is there: then they are left as they are. */
export async function hasAllParents({ directory, names }: Target): Promise<boolean> {
  for (const name of names) {
    const slash = name.lastIndexOf('/');
    if (!name.equals(everything) && slash > 0 && !(await exists(pathIn(directory, name.subarray(0, slash)), true)))
      return false;
  }
  return true;
}

/** Makes the directory; one that is there stays as it is. @throws BytebackError (usage) when that is not possible. */
export async function makeTarget(directory: string, mode: number): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode });
  } catch (error) {
    throw new BytebackError('usage', {
      what: `cannot make ${escapeName(directory)}`,
      why: reasonOf(error),
      fix: 'give another directory with --to',
    });
  }
}

/** How a restore that has not ended was begun: `fresh` where nothing was, and by this machine's clock. */
export interface Begun {
  readonly kind: 'fresh' | 'over';
  readonly begunMs: number;
}

/** What a mark says; equal text is the same restore. */
function markText({ directory, snapshot, names }: Target): string {
  const list = createHash('sha256')
    .update(Buffer.concat(names.flatMap((name) => [name, Buffer.from([0])])))
    .digest('hex');
  return JSON.stringify({ format: 2, directory, snapshot, names: list });
}

/**
 * The mark of a restore that has begun and not ended. It lies in the state directory, not in the target, which is to be
 * what the snapshot holds and nothing else. With it the same command, given again, goes on where it was cut.
 */
export function markOf(target: Target, stateDirectory: string) {
  const directory = join(stateDirectory, 'restores');
  const file = join(directory, `${createHash('sha256').update(target.directory).digest('hex').slice(0, 32)}.json`);
  return {
    /** Set when this very restore was begun before: how, and when. */
    async read(): Promise<Begun | undefined> {
      const [what, how = ''] = (await readFile(file, 'utf8').catch(() => '')).split('\n');
      if (what !== markText(target)) return undefined;
      const [kind, begunMs] = how.split(' ');
      return { kind: kind === 'over' ? 'over' : 'fresh', begunMs: Number(begunMs) || 0 };
    },
    /** Set when the same was begun before from another snapshot: its name. */
    async otherSnapshot(): Promise<SnapshotName | undefined> {
      const [what = ''] = (await readFile(file, 'utf8').catch(() => '')).split('\n');
      const snapshot = parseSnapshotName(/"snapshot":"([^"]*)"/.exec(what)?.[1] ?? '');
      if (snapshot === undefined || snapshot === target.snapshot) return undefined;
      return what === markText({ ...target, snapshot }) ? snapshot : undefined;
    },
    /** Where the state directory is not ours to write to, a cut restore cannot be told from a foreign directory. */
    async set({ kind, begunMs }: Begun): Promise<void> {
      try {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        await writeFileAtomically(file, `${markText(target)}\n${kind} ${begunMs}\n`, { mode: 0o600 });
      } catch (error) {
        if (!['EACCES', 'EROFS', 'EPERM', 'ENOSPC'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    },
    async clear(): Promise<void> {
      await unlink(file).catch((error: unknown) => {
        if (!isMissing(error) && (error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
      });
    },
  };
}
