import { mkdir, readdir, realpath } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { readSignature } from '../../system/block-devices.ts';
import { isMissing } from '../../system/files.ts';
import {
  type FstabEntry,
  findMount,
  fstabEntry,
  type Mount,
  mountFromFstab,
  readFstab,
  remount,
  withFstabEntry,
  writeFstab,
} from '../../system/mounts.ts';
import type { StoreTarget } from './file-system.ts';
import type { Step } from './step.ts';
import { requireTrusted } from './trusted-path.ts';

/** Whatever a client sends stays plain data: nothing in the store is run, nothing in it is a device or changes identity. */
const safeOptions = ['noatime', 'nosuid', 'nodev', 'noexec'];
/** Each piece is tried for itself: without `-force` the first that does not compress ends it for the whole file. */
const compression = 'compress-force=zstd:1';
/** What earlier set-ups wrote; any other compression is the admin's own and stays. */
const formerCompression = 'compress=zstd:1';

/** What is missing among the options of a mount or an entry, in mount's words. */
function missingOptions(options: readonly string[]): string[] {
  const missing = safeOptions.filter((option) => !options.includes(option));
  const compresses = options.some(
    (option) => option !== formerCompression && /^compress(?:-force)?(?:=|$)/.test(option),
  );
  return compresses ? missing : [...missing, compression];
}

/** Options that undo a promise: with the first a user who is not root deletes snapshots. */
function requireNoUnsafeOptions(store: string, { options }: Pick<Mount, 'options'>): void {
  const unsafe = options.find((option) => option === 'user_subvol_rm_allowed' || option === 'ro');
  if (unsafe === undefined) return;
  throw new BytebackError('refused', {
    what: `${store} is mounted with ${unsafe}`,
    why: unsafe === 'ro' ? 'nothing can be written there' : 'users who are not root could delete snapshots',
    fix: `take it out of /etc/fstab, then: umount ${store}; byteback-setup-server`,
  });
}

/** The entry that mounts the store at every start, without holding the start up when the disk is away. */
async function wantedEntry({ store, source }: StoreTarget, mount: Mount | undefined): Promise<FstabEntry> {
  const options = [...safeOptions, compression, 'nofail'];
  if (source.kind === 'image') {
    return { source: await realpath(source.path), mountPoint: store, type: 'btrfs', options: ['loop', ...options] };
  }
  const uuid = mount?.uuid ?? (source.kind === 'device' ? (await readSignature(source.path))?.uuid : undefined);
  if (uuid === undefined)
    throw new BytebackError('bug', { what: `cannot find the UUID of the file system for ${store}` });
  const subvolume = mount === undefined || mount.root === '/' ? [] : [`subvol=${mount.root}`];
  return { source: `UUID=${uuid}`, mountPoint: store, type: 'btrfs', options: [...subvolume, ...options] };
}

/** The entry as it should be: an admin's own keeps what it has, and gets what it lacks. */
async function nextEntry(
  target: StoreTarget,
  fstab: string,
  mount: Mount | undefined,
): Promise<FstabEntry | undefined> {
  const existing = fstabEntry(fstab, target.store);
  if (existing === undefined) return wantedEntry(target, mount);
  const missing = missingOptions(existing.options);
  if (missing.length === 0) return undefined;
  const replaced = missing.includes(compression) ? ['defaults', formerCompression] : ['defaults'];
  return { ...existing, options: [...existing.options.filter((option) => !replaced.includes(option)), ...missing] };
}

async function checkMountPoint(store: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(store);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await requireTrusted(store);
  if (names.length === 0) return;
  throw new BytebackError('refused', {
    what: `${store} is not empty`,
    why: 'a file system mounted there would hide what it holds',
    fix: 'empty it, or give another directory with --store',
  });
}

async function check({ store }: StoreTarget): Promise<string | undefined> {
  const mount = await findMount(store);
  if (mount === undefined) {
    await checkMountPoint(store);
    return `mount it at ${store}, and write that into /etc/fstab`;
  }
  requireNoUnsafeOptions(store, mount);
  const missing = missingOptions(mount.options);
  if (missing.length > 0) return `remount ${store} with ${missing.join(', ')}`;
  const entry = fstabEntry(await readFstab(), store);
  if (entry === undefined) return `write ${store} into /etc/fstab`;
  const missingThere = missingOptions(entry.options);
  return missingThere.length > 0 ? `add ${missingThere.join(', ')} for ${store} to /etc/fstab` : undefined;
}

/** The store's file system mounted at the store, now and after every start. */
export function mountStep(target: StoreTarget): Step {
  const { store } = target;
  return {
    title: 'mount',
    check: () => check(target),
    act: async () => {
      const mount = await findMount(store);
      const fstab = await readFstab();
      const entry = await nextEntry(target, fstab, mount);
      if (entry !== undefined)
        await writeFstab(withFstabEntry(fstab, entry, "byteback's store; written by byteback-setup-server"));
      if (mount === undefined) {
        await mkdir(store, { recursive: true, mode: 0o755 });
        await requireTrusted(store);
        await mountFromFstab(store);
      } else if (missingOptions(mount.options).length > 0) {
        await remount(store, missingOptions(mount.options));
      }
    },
  };
}
