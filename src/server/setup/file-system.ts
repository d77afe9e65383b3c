import { open, realpath, rm, stat, statfs, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BytebackError } from '../../errors.ts';
import {
  isInUse,
  looksEmpty,
  loopDevicesOf,
  makeBtrfs,
  partitionsOf,
  readSignature,
} from '../../system/block-devices.ts';
import { isBtrfs } from '../../system/btrfs.ts';
import { isMissing } from '../../system/files.ts';
import { findMount, fstabEntry, type Mount, readFstab } from '../../system/mounts.ts';
import { run } from '../../system/run.ts';
import type { Step } from './step.ts';
import { requireTrusted } from './trusted-path.ts';

/** Where the store's btrfs is. */
export type StoreSource =
  | { readonly kind: 'device'; readonly path: string }
  | { readonly kind: 'image'; readonly path: string; readonly sizeBytes: number | undefined }
  /** It is mounted at the store already, or /etc/fstab says how. */
  | { readonly kind: 'mounted' };

/** What the steps about the disk work on. */
export interface StoreTarget {
  /** The mount point. */
  readonly store: string;
  readonly source: StoreSource;
  /** Format what holds data. */
  readonly force: boolean;
  readonly confirm: (question: string) => Promise<boolean>;
}

/** Smaller ones btrfs refuses, or fills with its own metadata. */
const minImageBytes = 256 * 1024 * 1024;

function refused(what: string, why: string, fix: string): BytebackError {
  return new BytebackError('refused', { what, why, fix });
}

type Content =
  | { readonly kind: 'btrfs' }
  | { readonly kind: 'empty' }
  | { readonly kind: 'data'; readonly what: string };

/** What stands on a device or in an image: a btrfs to use as it is, nothing, or something that formatting would destroy. */
async function contentOf(path: string): Promise<Content> {
  const signature = await readSignature(path);
  if (signature?.type === 'btrfs') return { kind: 'btrfs' };
  if (signature?.type !== undefined) return { kind: 'data', what: signature.type };
  if (signature?.partitionTable !== undefined)
    return { kind: 'data', what: `a partition table (${signature.partitionTable})` };
  return (await looksEmpty(path)) ? { kind: 'empty' } : { kind: 'data', what: 'data of an unknown kind' };
}

async function fileKind(path: string): Promise<'block' | 'file' | 'other' | undefined> {
  try {
    const stats = await stat(path);
    return stats.isBlockDevice() ? 'block' : stats.isFile() ? 'file' : 'other';
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function isMountOf(mount: Mount, source: StoreSource): Promise<boolean> {
  switch (source.kind) {
    case 'mounted':
      return true;
    case 'device':
      return (
        (await fileKind(source.path)) === 'block' && (await realpath(source.path)) === (await realpath(mount.source))
      );
    case 'image':
      return (await fileKind(source.path)) === 'file' && (await loopDevicesOf(source.path)).includes(mount.source);
  }
}

function notBtrfs(store: string, why: string): BytebackError {
  return new BytebackError('notBtrfs', {
    what: `the store ${store} is not a btrfs file system`,
    why,
    fix: 'give a disk with --device DEV, or an image with --image FILE --size SIZE, or mount a btrfs there first',
  });
}

async function checkMounted({ store, source }: StoreTarget, mount: Mount): Promise<undefined> {
  if (mount.type !== 'btrfs') throw notBtrfs(store, `${mount.source} is mounted there, with ${mount.type}`);
  if (await isMountOf(mount, source)) return undefined;
  throw refused(
    `something else is mounted at ${store}`,
    `it is ${mount.source}, not what was asked for`,
    `leave --device or --image away to use it, or unmount it first: umount ${store}`,
  );
}

async function checkUnmounted(store: string): Promise<undefined> {
  if (fstabEntry(await readFstab(), store)?.type === 'btrfs') return undefined;
  const onBtrfs = await isBtrfs(store).catch((error: unknown) => {
    if (isMissing(error)) return false;
    throw error;
  });
  if (!onBtrfs) throw notBtrfs(store, 'nothing is mounted there');
  throw new BytebackError('usage', {
    what: `the store ${store} is no mount point`,
    why: 'it is a directory of a larger btrfs, and the store needs mount options of its own (nosuid, nodev, noexec)',
    fix: `make a subvolume for it and mount that at ${store} with -o subvol=NAME`,
  });
}

async function checkDevice(device: string, force: boolean): Promise<string | undefined> {
  const kind = await fileKind(device);
  if (kind !== 'block') {
    throw new BytebackError('usage', {
      what: `${device} is not a block device`,
      why: kind === undefined ? 'it does not exist' : 'it is a file or directory',
      fix: kind === 'file' ? `for an image file, give: --image ${device}` : 'list the disks of this machine: lsblk',
    });
  }
  if (await isInUse(device)) {
    throw refused(
      `${device} is in use`,
      'it is mounted, swap, or part of a RAID or volume group',
      `look at it: lsblk ${device}`,
    );
  }
  const partitions = await partitionsOf(device);
  for (const partition of partitions) {
    if (await isInUse(partition))
      throw refused(`${device} is in use`, `its partition ${partition} is`, `look at it: lsblk ${device}`);
  }
  const content: Content =
    partitions.length > 0 ? { kind: 'data', what: `partitions: ${partitions.join(', ')}` } : await contentOf(device);
  return formatting(device, content, force);
}

function formatting(path: string, content: Content, force: boolean): string | undefined {
  if (content.kind === 'btrfs') return undefined;
  if (content.kind === 'empty') return `make a btrfs on ${path}, which is empty`;
  if (force) return `make a btrfs on ${path} OVER ${content.what}`;
  throw refused(
    `${path} holds data, and is not formatted`,
    `found there: ${content.what}`,
    `look at it: lsblk -f ${path}; to lose all that it holds, give --force`,
  );
}

async function checkImage(image: string, sizeBytes: number | undefined, force: boolean): Promise<string | undefined> {
  const kind = await fileKind(image);
  if (kind === 'file') {
    await requireTrusted(image);
    return formatting(image, await contentOf(image), force);
  }
  if (kind !== undefined)
    throw new BytebackError('usage', { what: `${image} is not a file`, fix: 'give the name of an image file' });
  if (sizeBytes === undefined) {
    throw new BytebackError('usage', { what: `${image} does not exist`, fix: 'give its size to make it: --size 100G' });
  }
  if (sizeBytes < minImageBytes) {
    throw new BytebackError('usage', {
      what: `--size ${gib(sizeBytes)} is too small`,
      why: 'a btrfs needs 256 MiB at least',
    });
  }
  const directory = dirname(image);
  try {
    await requireTrusted(directory);
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new BytebackError('usage', {
      what: `${directory} does not exist`,
      fix: `make it first: mkdir -p ${directory}`,
    });
  }
  const disk = await statfs(directory);
  if (disk.bavail * disk.bsize < sizeBytes && !force) {
    throw refused(
      `${image} would be larger than the free space around it`,
      'when the disk under it fills up, the store breaks',
      'give a smaller --size, or another place; to make it all the same, give --force',
    );
  }
  return `make the image ${image} (${gib(sizeBytes)}, filled as needed) with a btrfs`;
}

function gib(bytes: number): string {
  return `${Number((bytes / 1024 ** 3).toFixed(2))} GiB`;
}

/** The image appears under its name when there is a btrfs in it: one that was begun only would look like somebody's data. */
async function makeImage(image: string, sizeBytes: number): Promise<void> {
  const begun = join(dirname(image), `.${basename(image)}.byteback-begun`);
  await rm(begun, { force: true });
  const file = await open(begun, 'wx', 0o600);
  await file.close();
  try {
    // On a btrfs a disk image fragments without end unless it is written in place; only an empty file can be told.
    if (await isBtrfs(begun)) await run(['chattr', '+C', '--', begun], { accept: [0, 1] });
    await truncate(begun, sizeBytes);
    await makeBtrfs(begun);
    // One step, which never replaces what has come to stand there in the meantime (renameat2(2), RENAME_NOREPLACE).
    await run(['mv', '--no-clobber', '--no-target-directory', '--', begun, image]);
    if ((await fileKind(begun)) !== undefined) {
      throw refused(
        `${image} has come to stand there meanwhile`,
        'nothing is written over it',
        'look at it, and run this again',
      );
    }
  } finally {
    await rm(begun, { force: true });
  }
}

async function format(path: string, { confirm, force }: StoreTarget): Promise<void> {
  // Looked at once more: time has passed since the check, and this is the one act that cannot be undone.
  const content = await contentOf(path);
  if (content.kind === 'btrfs') return;
  const lost = content.kind === 'data' ? `, and lose what it holds (${content.what})` : '';
  formatting(path, content, force);
  if (!(await confirm(`Format ${path} with btrfs${lost}?`))) {
    throw new BytebackError('usage', { what: `${path} is not formatted`, why: 'you said no' });
  }
  await makeBtrfs(path);
}

/** A btrfs on the device or in the image. What holds data is never formatted without --force, what is in use never. */
export function fileSystemStep(target: StoreTarget): Step {
  const { store, source, force } = target;
  return {
    title: 'file system',
    check: async () => {
      const mount = await findMount(store);
      if (mount !== undefined) return checkMounted(target, mount);
      if (source.kind === 'mounted') return checkUnmounted(store);
      return source.kind === 'device'
        ? checkDevice(source.path, force)
        : checkImage(source.path, source.sizeBytes, force);
    },
    act: async () => {
      if (source.kind === 'mounted') return;
      if (source.kind === 'image' && (await fileKind(source.path)) === undefined)
        await makeImage(source.path, source.sizeBytes ?? 0);
      else await format(source.path, target);
    },
  };
}
