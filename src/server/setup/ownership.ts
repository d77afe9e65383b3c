import { constants } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findUser, localNames } from '../../system/accounts.ts';
import { isMissing } from '../../system/files.ts';
import { findMount } from '../../system/mounts.ts';
import { isOriginalName } from '../prune/contents.ts';
import type { Step } from './step.ts';
import { requireTrusted } from './trusted-path.ts';

/**
 * Whoever may write a directory may rename what lies in it, whoever owns that: `mv clients stolen` in the store's top takes
 * the history of all clients away, and a rename of `/srv` takes the store in `/srv/byteback` away.
 */
interface Finding {
  readonly path: string;
  /** What it gets. */
  readonly mode: number;
  readonly why: string;
}

const topMode = 0o755;
/** Nobody but root looks at what the original left: what is in there belongs to the user that receives. */
const originalsMode = 0o700;

async function topFinding(store: string): Promise<Finding | undefined> {
  const { uid, mode } = await lstat(store);
  if (uid !== 0) return { path: store, mode: topMode, why: `it belongs to user ${uid}` };
  return (mode & 0o022) === 0 ? undefined : { path: store, mode: topMode, why: 'others than root can write it' };
}

/** A client's directory of the original byteback, whoever owns it. */
interface OriginalDirectory {
  readonly path: string;
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** The clients' directories that the original left in a store: those that hold its `current` or its snapshots. */
export async function originalDirectories(store: string): Promise<OriginalDirectory[]> {
  const found: OriginalDirectory[] = [];
  for (const entry of await readdir(store, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.') || entry.name === 'clients') continue;
    const path = join(store, entry.name);
    const names = await readdir(path);
    if (!names.some((name) => name === 'current' || isOriginalName(name))) continue;
    const { uid, gid, mode } = await lstat(path);
    found.push({ path, name: entry.name, uid, gid, mode: mode & 0o7777 });
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** What is the receiving user's, or nobody's any more, is taken over; what another user still works in is not. */
async function originalFindings(store: string, user: string): Promise<Finding[]> {
  const [directories, account, users] = await Promise.all([
    originalDirectories(store),
    findUser(user),
    localNames('/etc/passwd'),
  ]);
  return directories
    .filter(({ uid }) => uid !== 0 && (uid === account?.uid || !users.has(uid)))
    .map(({ path, uid }) => ({ path, mode: originalsMode, why: `it belongs to user ${uid}` }));
}

/** The clients of the original whose history another user than the receiving one can still change. */
export async function originalsOfOthers(store: string, user: string): Promise<{ path: string; user: string }[]> {
  const [directories, account, users] = await Promise.all([
    originalDirectories(store),
    findUser(user),
    localNames('/etc/passwd'),
  ]);
  return directories
    .filter(({ uid }) => uid !== 0 && uid !== account?.uid && users.has(uid))
    .map(({ path, uid }) => ({ path, user: users.get(uid) ?? String(uid) }));
}

async function findings(store: string, user: string): Promise<Finding[]> {
  const top = await topFinding(store);
  return [...(top === undefined ? [] : [top]), ...(await originalFindings(store, user))];
}

/** By a descriptor: what is renamed in between, or turned into a link, is not followed. */
async function giveToRoot({ path, mode }: Finding): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    // The owner first: who no longer owns it cannot change the mode back in between.
    await directory.chown(0, 0);
    await directory.chmod(mode);
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Only root can rename what lies in the store's top, and in each directory on the way to it. The top is put right; a
 * directory on the way is not ours to change, and refused.
 */
export function ownershipStep(store: string, user: string): Step {
  return {
    title: 'owners',
    check: async () => {
      // Before it is mounted there is nothing to look at.
      if ((await findMount(store)) === undefined) return undefined;
      await requireTrusted(await existingParent(store));
      const [first, ...more] = await findings(store, user);
      if (first === undefined) return undefined;
      const others = more.length === 0 ? '' : `, and ${more.map(({ path }) => path).join(', ')}`;
      return `give ${first.path}${others} to root: ${first.why}, who could take the history away`;
    },
    act: async () => {
      // The top comes first: from then on nobody else renames what is in it.
      for (const finding of await findings(store, user)) await giveToRoot(finding);
    },
  };
}

async function existingParent(store: string): Promise<string> {
  for (let at = dirname(store); ; at = dirname(at)) {
    try {
      await lstat(at);
      return at;
    } catch (error) {
      if (!isMissing(error) || at === '/') throw error;
    }
  }
}
