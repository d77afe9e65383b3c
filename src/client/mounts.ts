/**
 * What a machine's mounts mean for a run: which of them are left out, and why. Pure: everything is decided from the text of
 * /proc/self/mountinfo and /proc/swaps.
 *
 * Paths are byte strings here: one character a byte (latin1), as the kernel has them; `Buffer.from(path, 'latin1')` gives
 * the bytes.
 */

import { type KernelMount, parseMountinfo, unescapeOctal } from '../system/mountinfo.ts';

/** Why a path is left out, or (inside something left out) taken all the same. */
export interface Region {
  /** Absolute, as a byte string. */
  readonly path: string;
  readonly verdict: 'take' | 'leave';
  /** `contents` keeps the directory itself, empty: a mount point must exist to be mounted on again. */
  readonly extent: 'contents' | 'whole';
  /** For people: "proc: made by the kernel". */
  readonly why: string;
}

/** What `decideRegions` needs to know. */
export interface RegionInput {
  /** /proc/self/mountinfo, read as latin1. */
  readonly mountinfo: string;
  /** /proc/swaps, read as latin1. */
  readonly swaps: string;
  /** Absolute paths of what is to be copied, as byte strings. */
  readonly sources: readonly string[];
  /** Directories of byteback itself, each with its reason. */
  readonly own: readonly { readonly path: string; readonly why: string }[];
  /** Directories that a run works with itself, as byte strings: nothing that they lie in is detached. */
  readonly needed?: readonly string[];
  /** Mount points at which nobody should look: what is there does not answer, or is lost. */
  readonly stuck?: readonly string[];
  /** Whether the person's own rules leave a directory out. */
  readonly excluded: (path: string) => boolean;
}

/** The decision: regions from the deepest to the topmost, so that the first that holds a path decides. */
export interface RegionDecision {
  readonly regions: readonly Region[];
  /** Sources that cannot be copied at all, with the reason. */
  readonly refused: readonly { readonly source: string; readonly why: string }[];
  /**
   * Mount points of what is left out and could hang, refuse even root, or lead in a circle: what a run is to detach for itself. One
   * with two such mounts is there twice.
   */
  readonly detached: readonly string[];
  /** File systems of their own that are taken, the root's aside. */
  readonly ownFileSystems: readonly { readonly path: string; readonly source: string }[];
}

const kernelTypes: ReadonlySet<string> = new Set(
  (
    'proc sysfs devtmpfs devpts cgroup cgroup2 cpuset securityfs debugfs tracefs pstore bpf configfs fusectl mqueue hugetlbfs ' +
    'binfmt_misc autofs efivarfs rpc_pipefs nsfs selinuxfs smackfs apparmorfs functionfs binder binderfs resctrl nfsd pipefs ' +
    'sockfs rootfs fuse.lxcfs dlmfs xenfs openpromfs spufs ocfs2_dlmfs'
  ).split(' '),
);
const networkTypes: ReadonlySet<string> = new Set(
  (
    'nfs nfs4 cifs smb3 smbfs ncpfs ncp afs openafs coda ceph lustre gfs gpfs beegfs pvfs2 orangefs 9p virtiofs vboxsf vmhgfs ' +
    'prl_fs drvfs davfs glusterfs panfs acfs ftpfs sshfs'
  ).split(' '),
);
const memoryTypes: ReadonlySet<string> = new Set(['tmpfs', 'ramfs']);
const unionTypes: ReadonlySet<string> = new Set(['overlay', 'overlayfs', 'aufs', 'unionfs', 'mhddfs']);

/** The mount point that a path lies on. */
export function mountPointOf(mountinfo: string, path: string): string {
  return mountTable(parseMountinfo(mountinfo))(path)?.path ?? '/';
}

/** The files that are swapped to, as byte strings. */
export function parseSwapFiles(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split(/[ \t]+/))
    .filter(([path = '', type]) => type === 'file' && path.startsWith('/'))
    .map(([path = '']) => unescapeOctal(path).replace(/ \(deleted\)$/, ''));
}

/** True when `path` is `directory` or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

function joinPath(directory: string, below: string): string {
  return directory === '/' ? below || '/' : directory + below;
}

/** What lies below `directory` in `path`: empty for the directory itself. */
function below(path: string, directory: string): string {
  return directory === '/' ? (path === '/' ? '' : path) : path.slice(directory.length);
}

/** Finds, for a path, the mount that one sees there: mounts over mounts hide what is below them. */
function mountTable(mounts: readonly KernelMount[]): (path: string) => KernelMount | undefined {
  const children = new Map<string, KernelMount>();
  const known = new Set(mounts.map((mount) => mount.id));
  // Of two mounts on the same place of the same parent only the last is seen.
  for (const mount of mounts) children.set(`${mount.parent} ${mount.path}`, mount);
  const top = mounts.find((mount) => mount.path === '/' && (!known.has(mount.parent) || mount.parent === mount.id));
  return (path) => {
    let current = top;
    const step = (place: string) => {
      for (let next: KernelMount | undefined; current !== undefined; current = next) {
        next = children.get(`${current.id} ${place}`);
        if (next === undefined || next === current) return;
      }
    };
    step('/');
    for (let end = path.indexOf('/', 1); path !== '/'; end = path.indexOf('/', end + 1)) {
      step(end < 0 ? path : path.slice(0, end));
      if (end < 0) break;
    }
    return current;
  };
}

/** Why a mount's kind is never copied, or undefined when it is a file system of this machine's own disks. */
function whyLeftOut(mount: KernelMount): string | undefined {
  if (kernelTypes.has(mount.type)) return `${mount.type}: made by the kernel`;
  if (networkTypes.has(mount.type)) return `${mount.type}: the files of another machine`;
  if (memoryTypes.has(mount.type)) return `${mount.type}: in memory only`;
  if (unionTypes.has(mount.type)) return `${mount.type}: its layers lie elsewhere`;
  if (mount.type === 'fuse' || mount.type.startsWith('fuse.')) {
    return mount.source.startsWith('/dev/') && !isLoop(mount) ? undefined : `${mount.type}: shown by a program`;
  }
  return isLoop(mount) ? `${mount.type} on ${mount.source}: a file that is mounted` : undefined;
}

function isLoop(mount: KernelMount): boolean {
  return mount.source.startsWith('/dev/loop') || mount.device.startsWith('7:');
}

/**
 * Decides what is left out of a run, and what is taken although it lies inside something left out.
 * - Mounts of kernel, network, memory, union, FUSE and loop file systems are left out, except the one at `/` and except
 *   where a source was named inside them.
 * - A mount of something that is copied already (a bind mount, a subvolume seen twice) is left out.
 * - A mount of an ordinary file system is taken even when it lies inside one that is left out.
 */
export function decideRegions(input: RegionInput): RegionDecision {
  const mounts = parseMountinfo(input.mountinfo);
  const mountAt = mountTable(mounts);
  const visible = mounts.filter((mount) => mountAt(mount.path) === mount);
  const inSources = (path: string) => input.sources.some((source) => isWithin(path, source));
  const regions = new Map<string, Region>();
  const leave = (path: string, extent: Region['extent'], why: string) => {
    if (inSources(path)) regions.set(path, { path, verdict: 'leave', extent, why });
  };

  for (const path of ['/swap.file', ...parseSwapFiles(input.swaps)]) leave(path, 'whole', 'swap');
  leave('/var/backups/localhost', 'whole', 'backups of this machine itself');

  const leftOut = new Map<KernelMount, string>();
  for (const mount of visible) {
    const why = mount.path === '/' ? undefined : whyLeftOut(mount);
    if (why !== undefined) leftOut.set(mount, why);
  }
  findRepeated(visible, leftOut, mountAt, (path) => inSources(path) && !input.excluded(path), leave);
  for (const [mount, why] of leftOut) leave(mount.path, 'contents', why);
  for (const { path, why } of input.own) leave(path, 'contents', why);

  const refused: { source: string; why: string }[] = [];
  const taken: Region[] = [];
  for (const source of input.sources) {
    const mount = mountAt(source);
    if (mount !== undefined && source !== '/' && kernelTypes.has(mount.type) && mount.path !== '/') {
      refused.push({ source, why: `it lies on a file system made by the kernel (${mount.type})` });
    }
    taken.push({ path: source, verdict: 'take', extent: 'whole', why: 'source' });
  }
  for (const mount of visible) {
    if (leftOut.has(mount) || !inSources(mount.path)) continue;
    const around = nearest(regions, mount.path);
    if (around?.verdict === 'leave' && leftOut.has(mountAt(around.path) as KernelMount)) {
      taken.push({
        path: mount.path,
        verdict: 'take',
        extent: 'whole',
        why: `${mount.type}: a file system of its own`,
      });
    }
  }
  for (const region of taken) regions.set(region.path, region);
  const sorted = [...regions.values()].sort((a, b) => depth(b.path) - depth(a.path) || (a.path < b.path ? -1 : 1));
  // A kind that is left out as a rule is taken where a source was named on it.
  const ownFileSystems = visible
    .filter((mount) => mount.path !== '/' && !kernelTypes.has(mount.type) && inSources(mount.path))
    .filter(({ path }) => nearest(regions, path)?.verdict !== 'leave' && !input.excluded(path))
    .map(({ path, source }) => ({ path, source }));
  return { regions: sorted, refused, ownFileSystems, detached: toDetach(mounts, visible, leftOut, regions, input) };
}

/**
 * Kinds of which a look at the mount point alone may wait for ever, be refused, mount something, or lead in a circle. What the kernel
 * makes, or keeps in memory, does nothing of the kind, and programs need it.
 */
function isTouchy({ type }: KernelMount): boolean {
  return type === 'autofs' || !(kernelTypes.has(type) || memoryTypes.has(type));
}

/**
 * What can be detached: no source and nothing else that is taken may lie in it, nor anything that a run works with itself. Of
 * mounts over mounts all go, so that what comes to light is no other one of these.
 */
function toDetach(
  mounts: readonly KernelMount[],
  visible: readonly KernelMount[],
  leftOut: ReadonlyMap<KernelMount, unknown>,
  regions: ReadonlyMap<string, Region>,
  { sources, needed = [], stuck = [] }: RegionInput,
): string[] {
  const inside = [...regions.values()].filter(({ verdict }) => verdict === 'take').map(({ path }) => path);
  const taken = [...sources, ...inside].filter((path) => !stuck.some((place) => isWithin(path, place)));
  const stay = [...taken, ...needed];
  const isStuck = ({ path }: KernelMount) => stuck.includes(path);
  const inSight = (mount: KernelMount) =>
    leftOut.has(mount) && isTouchy(mount) && sources.some((source) => isWithin(mount.path, source));
  const chosen = visible.filter(
    (mount) => (isStuck(mount) || inSight(mount)) && !stay.some((path) => isWithin(path, mount.path)),
  );
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  const below = ({ parent, path }: KernelMount) => {
    const under = byId.get(parent);
    return under?.path === path ? under : undefined;
  };
  const places: string[] = [];
  for (const { path, ...mount } of chosen) {
    if (chosen.some((outer) => outer.path !== path && isWithin(path, outer.path))) continue;
    for (let at: KernelMount | undefined = { path, ...mount }; at !== undefined; at = below(at)) places.push(path);
  }
  return places;
}

/**
 * Finds the mounts whose files are copied already through a mount that was there before. When a mount shows more than the
 * earlier one (the top of a btrfs whose subvolumes are mounted too), only the part that is copied already is left out.
 */
function findRepeated(
  visible: readonly KernelMount[],
  leftOut: Map<KernelMount, string>,
  mountAt: (path: string) => KernelMount | undefined,
  copied: (path: string) => boolean,
  leave: (path: string, extent: Region['extent'], why: string) => void,
): void {
  const byDevice = new Map<string, KernelMount[]>();
  // The root's own mount counts as the first, whatever was mounted before it.
  for (const mount of [...visible.filter(({ path }) => path === '/'), ...visible.filter(({ path }) => path !== '/')]) {
    if (leftOut.has(mount)) continue;
    const earlier = byDevice.get(mount.device) ?? [];
    for (const first of earlier) {
      if (isWithin(mount.root, first.root)) {
        const place = joinPath(first.path, below(mount.root, first.root));
        if (mountAt(place) === first && copied(place)) {
          leftOut.set(mount, `the same files as ${place}`);
          break;
        }
      } else if (isWithin(first.root, mount.root)) {
        const place = joinPath(mount.path, below(first.root, mount.root));
        if (mountAt(place) === mount && copied(first.path)) leave(place, 'contents', `the same files as ${first.path}`);
      }
    }
    if (!leftOut.has(mount)) byDevice.set(mount.device, [...earlier, mount]);
  }
}

/** The region that decides about a path. */
export function nearest(regions: ReadonlyMap<string, Region>, path: string): Region | undefined {
  for (let at = path; ; at = at.slice(0, at.lastIndexOf('/')) || '/') {
    const region = regions.get(at);
    if (region !== undefined) return region;
    if (at === '/') return undefined;
  }
}

function depth(path: string): number {
  return path === '/' ? 0 : path.split('/').length - 1;
}
