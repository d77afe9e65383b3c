/** Two trees, compared exactly: every difference is one line of text; none means identical. */
import { createHash } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { command } from './command.ts';

/** What is compared, besides which names there are. */
export interface CompareOptions {
  /** Paths below the trees (as text) that are left out, with all below them. */
  readonly except?: readonly string[];
  /** False: times of directories are not compared. Default true. */
  readonly directoryTimes?: boolean;
  /** False: extended attributes and ACLs are not compared. Default true. */
  readonly attributes?: boolean;
  /** False: owners, groups and modes are not compared, as for the plain files of a store. Default true. */
  readonly rights?: boolean;
}

type Entry = Readonly<Record<string, string>>;

function kindOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'link';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block device' : 'character device';
}

async function sha256(path: Buffer): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

const separator = Buffer.from('/');

/** Everything below a directory by its path in bytes, written as Latin-1 so that it can be a key. */
async function describeTree(root: string, options: CompareOptions): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const firstOfInode = new Map<string, string>();
  const except = new Set((options.except ?? []).map((path) => Buffer.from(path).toString('latin1')));
  async function visit(path: Buffer, key: string): Promise<void> {
    if (except.has(key)) return;
    const stats = await lstat(path, { bigint: true });
    const kind = kindOf(stats);
    const inode = `${stats.dev}:${stats.ino}`;
    const first = firstOfInode.get(inode);
    if (first === undefined) firstOfInode.set(inode, key);
    entries.set(key, {
      kind,
      ...(options.rights === false
        ? {}
        : { mode: (stats.mode & 0o7777n).toString(8), owner: `${stats.uid}:${stats.gid}` }),
      ...(kind === 'directory' && options.directoryTimes === false ? {} : { mtimeNs: String(stats.mtimeNs) }),
      ...(kind === 'directory' ? {} : { linkCount: String(stats.nlink), sameFileAs: first ?? key }),
      ...(kind.endsWith('device') ? { device: String(stats.rdev) } : {}),
      ...(kind === 'link' ? { target: (await readlink(path, 'buffer')).toString('latin1') } : {}),
      ...(kind === 'file'
        ? { size: String(stats.size), sha256: first === undefined ? await sha256(path) : 'see there' }
        : {}),
    });
    if (kind !== 'directory') return;
    const names = await readdir(path, 'buffer');
    for (const name of names.toSorted(Buffer.compare)) {
      await visit(
        Buffer.concat([path, separator, name]),
        key === '' ? name.toString('latin1') : `${key}/${name.toString('latin1')}`,
      );
    }
  }
  await visit(Buffer.from(root), '');
  if (options.attributes === false) return entries;
  for (const [name, attributes] of await attributesOf(root)) {
    if ([...except].some((path) => name === path || name.startsWith(`${path}/`))) continue;
    entries.set(`${name} (extended attributes and ACLs)`, { attributes });
  }
  return entries;
}

/** Extended attributes, ACLs among them, by getfattr's own escaped names: the same on both sides. */
async function attributesOf(root: string): Promise<Map<string, string>> {
  const { stdout, stderr } = await command(['getfattr', '-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], {
    cwd: root,
  });
  if (stderr !== '') throw new Error(`getfattr in ${root}: ${stderr}`);
  const blocks = stdout.split('\n\n').filter((block) => block.trim() !== '');
  return new Map(
    blocks.map((block) => {
      const [name = '', ...lines] = block.trim().split('\n');
      return [name.replace(/^# file: (\.\/)?/, ''), lines.toSorted().join('\n')];
    }),
  );
}

/**
 * The differences between two trees, in content (SHA-256), kind, mode, owner, mtime to the nanosecond, link target, device,
 * hard links, extended attributes and ACLs. The top directories are compared too.
 */
export async function compareTrees(expected: string, actual: string, options: CompareOptions = {}): Promise<string[]> {
  const [wanted, found] = await Promise.all([describeTree(expected, options), describeTree(actual, options)]);
  const differences: string[] = [];
  for (const [path, entry] of wanted) {
    const other = found.get(path);
    const shown = JSON.stringify(path);
    if (other === undefined) differences.push(`${shown} is missing`);
    else if (JSON.stringify(entry) !== JSON.stringify(other)) {
      const fields = [...new Set([...Object.keys(entry), ...Object.keys(other)])].filter(
        (field) => entry[field] !== other[field],
      );
      differences.push(
        `${shown}: ${fields.map((field) => `${field} is ${other[field]}, not ${entry[field]}`).join('; ')}`,
      );
    }
  }
  for (const path of found.keys())
    if (!wanted.has(path)) differences.push(`${JSON.stringify(path)} should not be there`);
  return differences;
}
