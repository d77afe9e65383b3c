import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BytebackError } from '../errors.ts';
import { subvolumeIdOf } from './btrfs/subvolumes.ts';
import { isMissing } from './files.ts';
import { parseMountinfo } from './mountinfo.ts';
import { ProgramError, run } from './run.ts';

/**
 * Simple quotas of btrfs (kernel 6.7 and later): every extent is charged to the subvolume that wrote it, for as long as
 * anything refers to it, its snapshots included. They cost 1.0 to 1.3 times the time of a store without, where full
 * quotas cost ten times and more with hundreds of snapshots.
 */
export interface SimpleQuota {
  /** What a subvolume wrote that is still there, its snapshots included, in bytes on the disk. As of the last commit. */
  chargedBytes(subvolume: string): Promise<number>;
  /** The limit that is set, in bytes. */
  limitBytes(subvolume: string): Promise<number | undefined>;
  /** Above this charge nothing more can be written (EDQUOT), not even by root; undefined lifts it. */
  limit(subvolume: string, bytes: number | undefined): Promise<void>;
}

const sysfs = '/sys/fs/btrfs';

/** Which quotas a mounted btrfs keeps. Reads sysfs alone; `path` is its mount point. */
export async function quotaMode(path: string): Promise<'simple' | 'full' | 'none'> {
  const directory = await quotaDirectory(path);
  if (directory === undefined) return 'none';
  try {
    // `squota` or `qgroup` (kernel: fs/btrfs/sysfs.c); kernels before 6.7 have no such file, and full quotas only.
    return (await readFile(join(directory, 'mode'), 'utf8')).trim() === 'squota' ? 'simple' : 'full';
  } catch (error) {
    if (isMissing(error)) return 'full';
    throw error;
  }
}

/** The simple quotas of a mounted btrfs, or undefined where it keeps none. */
export async function openSimpleQuota(path: string): Promise<SimpleQuota | undefined> {
  const directory = await quotaDirectory(path);
  if (directory === undefined || (await quotaMode(path)) !== 'simple') return undefined;
  const groupOf = async (subvolume: string): Promise<string> => {
    return `0/${await subvolumeIdOf(subvolume)}`;
  };
  const referencedBy = async (group: string) =>
    Number((await readFile(join(directory, group.replace('/', '_'), 'referenced'), 'utf8')).trim());
  return {
    chargedBytes: async (subvolume) => referencedBy(await groupOf(subvolume)),
    limitBytes: async (subvolume) => {
      const figure = async (file: string) =>
        Number((await readFile(join(directory, (await groupOf(subvolume)).replace('/', '_'), file), 'utf8')).trim());
      // Bit 0: BTRFS_QGROUP_LIMIT_MAX_RFER (linux/btrfs_tree.h).
      return ((await figure('limit_flags')) & 1) === 1 ? await figure('max_referenced') : undefined;
    },
    limit: async (subvolume, bytes) => {
      await run([
        'btrfs',
        'qgroup',
        'limit',
        '--',
        bytes === undefined ? 'none' : `${bytes}`,
        await groupOf(subvolume),
        path,
      ]);
    },
  };
}

/**
 * Turns simple quotas on. What was written before is charged to nobody.
 * @throws BytebackError refused when the kernel has none.
 */
export async function enableSimpleQuota(path: string): Promise<void> {
  try {
    await run(['btrfs', 'quota', 'enable', '--simple', '--', path]);
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    await enableByPerl(path);
  }
  if ((await quotaMode(path)) === 'simple') return;
  throw noQuota(path, 'they were turned on, and the kernel shows none');
}

/**
 * btrfs-progs before 6.7 lack the switch. Perl, which every Debian has, makes the same call: BTRFS_IOC_QUOTA_CTL with
 * BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA (linux/btrfs.h).
 */
async function enableByPerl(path: string): Promise<void> {
  const script = [
    'open(my $store, "<", $ARGV[0]) or die "$!\\n";',
    'my $arguments = pack("QQ", 4, 0);',
    'defined(ioctl($store, 0xC0109428, $arguments)) or die "$!\\n";',
  ].join(' ');
  try {
    await run(['perl', '-e', script, '--', path]);
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw noQuota(path, error.notFound ? 'btrfs-progs are older than 6.7, and perl is missing' : error.stderr.trim());
  }
}

function noQuota(path: string, why: string): BytebackError {
  return new BytebackError('refused', {
    what: `simple quotas cannot be turned on for ${path}`,
    why,
    fix: 'they need Linux 6.7 or later; leave --quota away to do without them',
  });
}

/** Where the kernel shows the quotas of a file system, or undefined when it keeps none. */
async function quotaDirectory(path: string): Promise<string | undefined> {
  const mounts = parseMountinfo(await readFile('/proc/self/mountinfo', 'latin1'));
  const mount = mounts.findLast((one) => one.path === path);
  if (mount?.type !== 'btrfs') return undefined;
  const device = basename(await realpath(mount.source));
  for (const uuid of await entries(sysfs)) {
    if (!(await entries(join(sysfs, uuid, 'devices'))).includes(device)) continue;
    const directory = join(sysfs, uuid, 'qgroups');
    return (await entries(directory)).length > 0 ? directory : undefined;
  }
  return undefined;
}

async function entries(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}
