import { lstatSync } from 'node:fs';
import { bootId } from './boot-id.ts';
import type { KernelMount } from './mountinfo.ts';
import { ProgramError, run } from './run.ts';

/**
 * What device numbers (st_dev) mean. The kernel gives many of them out as it goes: those of btrfs subvolumes, logical volumes and
 * loop devices are others after a boot, and may be another's then.
 */
export interface Devices {
  /** The boot in which the numbers hold. */
  readonly bootId: string;
  /** By number: a name of the file system that survives a boot. What has none holds in its boot only. */
  readonly names: Readonly<Record<string, string>>;
}

/** File systems whose f_fsid comes from their UUID; btrfs mixes the subvolume in (statfs(2)). By magic number, in hexadecimal. */
const namedByStatfs: readonly string[] = ['ef53', '9123683e'];

/** Kinds that are named well enough by what was mounted, because nothing else is. */
const namedBySource = /^(?:nfs4?|cifs|smb3|ceph|9p|virtiofs|zfs|fuse\.sshfs|glusterfs|fuse\.glusterfs|lustre|afs)$/;

/**
 * Names the devices of some directories, byte strings (latin1). What cannot be looked at has no name.
 * @param root put before each path (see MountSpace)
 * @throws ProgramError when stat(1) is not installed.
 */
export async function readDevices(
  paths: readonly string[],
  mounts: readonly KernelMount[],
  root: string,
): Promise<Devices> {
  const tops = new Map<string, string>();
  for (const path of paths) {
    const device = deviceOf(root + path);
    if (device !== undefined && !tops.has(device)) tops.set(device, path);
  }
  const kinds = await statFileSystems([...tops.values()].map((path) => root + path));
  const names = new Map<string, string>();
  for (const [at, [device, path]] of [...tops].entries()) {
    const name = await nameOf(device, kinds[at], mounts);
    if (name === undefined) continue;
    // A clone bears its original's name.
    const other = [...names].find(([, given]) => given === name)?.[0];
    if (other !== undefined) names.set(other, `${name} ${tops.get(other)}`);
    names.set(device, other === undefined ? name : `${name} ${path}`);
  }
  return { bootId: bootId(), names: Object.fromEntries(names) };
}

function deviceOf(path: string): string | undefined {
  try {
    return String(lstatSync(Buffer.from(path, 'latin1'), { bigint: true }).dev);
  } catch {
    // It has vanished, or is not to be looked at.
    return undefined;
  }
}

async function nameOf(
  device: string,
  kind: { magic: string; fsid: string } | undefined,
  mounts: readonly KernelMount[],
): Promise<string | undefined> {
  if (kind !== undefined && namedByStatfs.includes(kind.magic) && !/^0*$/.test(kind.fsid)) {
    return `${kind.magic} ${kind.fsid}`;
  }
  const mount = mounts.find((each) => each.device === majorMinor(BigInt(device)));
  if (mount === undefined) return undefined;
  if (namedBySource.test(mount.type)) return `${mount.type} ${mount.source}`;
  const uuid = mount.source.startsWith('/dev/') ? await uuidOf(mount.source) : undefined;
  return uuid === undefined ? undefined : `${mount.type} ${uuid}`;
}

/** As the kernel writes it in mountinfo (makedev(3)). */
function majorMinor(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/** The UUID that is written on a block device. */
async function uuidOf(source: string): Promise<string | undefined> {
  const argv = ['blkid', '--probe', '--output', 'value', '--match-tag', 'UUID', '--', source] as const;
  // 2: there is none; 8: two file systems are found on it.
  const { stdout } = await run([...argv], { accept: [0, 2, 8] });
  const uuid = stdout.toString('latin1').trim();
  return uuid === '' ? undefined : uuid;
}

/** Magic number and id of the file systems that some paths lie on, in order. */
async function statFileSystems(paths: readonly string[]): Promise<({ magic: string; fsid: string } | undefined)[]> {
  if (paths.length === 0) return [];
  const texts = paths.map((path) => Buffer.from(path, 'latin1').toString('utf8'));
  try {
    const { stdout } = await run(['stat', '--file-system', '--printf=%t %i\\n', '--', ...texts]);
    const lines = stdout.toString('latin1').trimEnd().split('\n');
    return paths.map((_, at) => {
      const [magic = '', fsid = ''] = (lines[at] ?? '').split(' ');
      return { magic, fsid };
    });
  } catch (error) {
    if (!(error instanceof ProgramError) || error.notFound) throw error;
    if (paths.length === 1) return [undefined];
    // One of them could not be looked at, and the others' lines would be taken for its own.
    return (await Promise.all(paths.map((path) => statFileSystems([path])))).flat();
  }
}
