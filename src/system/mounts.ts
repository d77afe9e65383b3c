import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { isMissing, writeFileAtomically } from './files.ts';
import { run } from './run.ts';
import { isSystemdRunning } from './systemd.ts';

const FindmntSchema = v.object({
  filesystems: v.pipe(
    v.array(
      v.object({
        source: v.string(),
        fstype: v.string(),
        options: v.string(),
        fsroot: v.string(),
        uuid: v.nullish(v.string()),
      }),
    ),
    v.minLength(1),
  ),
});

/** What is mounted at a place. */
export interface Mount {
  /** A device, or whatever else the file system comes from. */
  readonly source: string;
  readonly type: string;
  /** Those of the mount and of the file system, together. */
  readonly options: readonly string[];
  /** The directory of the file system that is mounted: `/`, or a subvolume. */
  readonly root: string;
  readonly uuid?: string;
}

/** What is mounted exactly at a path (the topmost, if several), or undefined when it is no mount point. */
export async function findMount(path: string): Promise<Mount | undefined> {
  const argv = ['findmnt', '--json', '--output', 'SOURCE,FSTYPE,OPTIONS,FSROOT,UUID', '--mountpoint', path] as const;
  const { stdout, exitCode } = await run([...argv], { accept: [0, 1] });
  if (exitCode === 1) return undefined;
  const { filesystems } = v.parse(FindmntSchema, JSON.parse(stdout.toString('utf8')));
  const last = filesystems.at(-1);
  if (last === undefined) return undefined;
  return {
    // findmnt adds the subvolume: /dev/sdb[/store].
    source: last.source.replace(/\[.*\]$/, ''),
    type: last.fstype,
    options: last.options.split(','),
    root: last.fsroot,
    ...(last.uuid == null ? {} : { uuid: last.uuid }),
  };
}

/**
 * mount(8) reads fstab for both. Where no udev runs it asks libblkid whose UUID that is, and libblkid trusts for two
 * seconds what it has remembered of a device: the file system that was there before, so that `nofail` makes nothing of
 * it, in silence. blkid(8) names this way to have it look itself.
 */
const lookItself = { BLKID_FILE: '/dev/null' };

/** Mounts what /etc/fstab says for a mount point. */
export async function mountFromFstab(path: string): Promise<void> {
  await run(['mount', '--', path], { timeoutMs: 600_000, env: lookItself });
}

/** Changes the options of what is mounted there. */
export async function remount(path: string, options: readonly string[]): Promise<void> {
  await run(['mount', '--options', ['remount', ...options].join(','), '--', path], { env: lookItself });
}

// ---- /etc/fstab ------------------------------------------------------------------------------------------------------

/** One entry of fstab(5). */
export interface FstabEntry {
  readonly source: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly options: readonly string[];
}

function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function escapeField(field: string): string {
  return field.replaceAll(/[\s\\#]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function parseLine(line: string): FstabEntry | undefined {
  const [source, mountPoint, type, options = 'defaults'] = line.trim().split(/\s+/);
  if (source === undefined || source === '' || source.startsWith('#') || mountPoint === undefined || type === undefined)
    return undefined;
  return { source: unescapeField(source), mountPoint: unescapeField(mountPoint), type, options: options.split(',') };
}

/** All mount points that it names; swap has none. */
export function fstabMountPoints(fstab: string): string[] {
  return fstab
    .split('\n')
    .map(parseLine)
    .flatMap((entry) => (entry?.mountPoint.startsWith('/') ? [entry.mountPoint] : []));
}

/** The entry for a mount point, or undefined. */
export function fstabEntry(fstab: string, mountPoint: string): FstabEntry | undefined {
  return fstab
    .split('\n')
    .map(parseLine)
    .find((entry) => entry?.mountPoint === mountPoint);
}

function renderLine(entry: FstabEntry): string {
  return `${escapeField(entry.source)} ${escapeField(entry.mountPoint)} ${entry.type} ${entry.options.join(',')} 0 0`;
}

/** The text of fstab with this entry: in the place of the one for the same mount point, or at the end, below a comment. */
export function withFstabEntry(fstab: string, entry: FstabEntry, comment: string): string {
  const lines = fstab.split('\n');
  const at = lines.findIndex((line) => parseLine(line)?.mountPoint === entry.mountPoint);
  if (at >= 0) return lines.with(at, renderLine(entry)).join('\n');
  const before = fstab === '' || fstab.endsWith('\n') ? fstab : `${fstab}\n`;
  return `${before}# ${comment}\n${renderLine(entry)}\n`;
}

const fstabPath = '/etc/fstab';

/** The text of /etc/fstab; a machine that has none (a container) gets one when an entry is written. */
export async function readFstab(): Promise<string> {
  try {
    return await readFile(fstabPath, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}

/** Replaces /etc/fstab. Where systemd runs, it is told to read it again. */
export async function writeFstab(text: string): Promise<void> {
  await writeFileAtomically(fstabPath, text, { mode: 0o644, uid: 0, gid: 0 });
  if (isSystemdRunning()) await run(['systemctl', 'daemon-reload']);
}
