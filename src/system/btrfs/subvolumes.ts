import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { run } from '../run.ts';

// What `btrfs subvolume list` prints is no source of numbers or paths: names stand in it as they are, line ends included, and
// anybody may make a subvolume in a directory of his own. A number comes from the kernel's word on one open directory, a path
// from the kernel's word on one number: one answer, one value.

/** The inode number that the top directory of every btrfs subvolume has, and that no other directory on btrfs has. */
export const subvolumeInode = 256;

/** The number of the subvolume that a path lies in. Needs no root. */
export async function subvolumeIdOf(path: string): Promise<number> {
  const { stdout } = await run(['btrfs', 'inspect-internal', 'rootid', '--', path]);
  return parseId(stdout);
}

function parseId(output: Buffer): number {
  const id = /^(\d{1,15})\n?$/.exec(output.toString('latin1'))?.[1];
  if (id !== undefined) return Number(id);
  throw new BytebackError('bug', {
    what: 'cannot read the output of btrfs inspect-internal rootid',
    why: 'it is no number',
  });
}

/** Where a subvolume is, from the top of the file system, as bytes in latin1; undefined when there is none. Needs root. */
export async function subvolumePathOf(fileSystem: string, id: number): Promise<string | undefined> {
  const argv = ['btrfs', 'inspect-internal', 'subvolid-resolve', String(id), fileSystem] as const;
  const { stdout, exitCode } = await run(argv, { accept: [0, 1] });
  // The rest is the path, whatever is in it; only the last line end is the program's.
  return exitCode === 0 ? stdout.toString('latin1').replace(/\n$/, '') : undefined;
}

/**
 * Opens a directory step by step: no step follows a link, so that nobody who may rename things on the way leads elsewhere.
 * @param owner when given, each step must be a directory of this user.
 * @throws BytebackError refused at a step that is a link, no directory, or somebody else's. The caller closes the directory.
 */
export async function openStepByStep(base: string, names: readonly string[], owner?: number): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  let held = await open(base, flags);
  let at = base;
  for (const name of names) {
    at = `${at}/${name}`;
    const above = held;
    try {
      held = await open(`/proc/self/fd/${above.fd}/${name}`, flags);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ELOOP' && code !== 'ENOTDIR') throw error;
      throw notADirectory(at, 'it is a link, or no directory');
    } finally {
      await above.close();
    }
    const uid = owner === undefined ? undefined : (await held.stat()).uid;
    if (uid === owner) continue;
    await held.close();
    throw notADirectory(at, `it belongs to user ${uid}`);
  }
  return held;
}

function notADirectory(path: string, why: string): BytebackError {
  return new BytebackError('refused', {
    what: `${escapeName(path)} is not the directory that it should be`,
    why: `${why}; nothing is done with it`,
    fix: `find out who made it, then move it away: ls -ld ${escapeName(path)}`,
  });
}

/**
 * Deletes the subvolume that a path of names leads to, where somebody else than root may rename things on the way: it is opened
 * step by step, and what was opened is deleted, whatever bears its name by then. Committed on return.
 * @throws BytebackError refused when it is no subvolume.
 */
export async function deleteSubvolumeHeld(base: string, names: readonly string[]): Promise<void> {
  // By its number, which never becomes that of another, and closed again: what is still open is only given to the kernel's cleaner
  // when it is closed, which then waits for the next commit, up to 30 seconds (btrfs(5), commit).
  const id = await subvolumeIdHeld(base, names);
  await run(['btrfs', 'subvolume', 'delete', '--commit-after', '--subvolid', String(id), '--', base], {
    timeoutMs: 600_000,
  });
}

/** The number of the subvolume that a path of names leads to, opened step by step. */
async function subvolumeIdHeld(base: string, names: readonly string[]): Promise<number> {
  const held = await openStepByStep(base, names);
  try {
    if ((await held.stat()).ino !== subvolumeInode)
      throw notADirectory([base, ...names].join('/'), 'it is no subvolume');
    const { stdout } = await run(['btrfs', 'inspect-internal', 'rootid', '--', '/proc/self/fd/3'], {
      passFds: [held.fd],
    });
    return parseId(stdout);
  } finally {
    await held.close();
  }
}

/** The names in a directory that are subvolumes themselves; links are not followed. */
export async function subvolumesIn(directory: string, isWanted: (name: string) => boolean): Promise<string[]> {
  const held = await openStepByStep(directory, []);
  try {
    const found: string[] = [];
    for (const entry of await readdir(`/proc/self/fd/${held.fd}`, { withFileTypes: true })) {
      if (!entry.isDirectory() || !isWanted(entry.name)) continue;
      const inside = await open(
        `/proc/self/fd/${held.fd}/${entry.name}`,
        constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
      ).catch(() => undefined);
      if (inside === undefined) continue;
      if ((await inside.stat()).ino === subvolumeInode) found.push(entry.name);
      await inside.close();
    }
    return found;
  } finally {
    await held.close();
  }
}

/**
 * Paths, from the file system's top, of the subvolumes that stand directly in a subvolume, for showing; `isAny` is true when there
 * is one at all, though its path may not be told. Needs root.
 */
export async function nestedSubvolumes(subvolume: string): Promise<{ isAny: boolean; paths: string[] }> {
  const { stdout } = await run(['btrfs', 'subvolume', 'list', '-o', '--', subvolume]);
  if (stdout.length === 0) return { isAny: false, paths: [] };
  const top = await subvolumePathOf(subvolume, await subvolumeIdOf(subvolume));
  const paths: string[] = [];
  // A name may forge a line, and thereby a number: what it resolves to must lie in here to be shown.
  for (const [, id] of stdout.toString('latin1').matchAll(/^ID (\d{1,15}) gen \d+ top level \d+ path ./gm)) {
    if (paths.length >= 10) break;
    const path = await subvolumePathOf(subvolume, Number(id));
    if (top !== undefined && path?.startsWith(`${top}/`) === true && !paths.includes(path)) paths.push(path);
  }
  return { isAny: true, paths };
}
