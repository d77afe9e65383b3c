import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Devices, readDevices } from '../system/devices.ts';
import { openPipe } from '../system/fifo.ts';
import { type EncryptedDirectory, findEncrypted } from '../system/fscrypt.ts';
import type { MountSpace } from '../system/mount-space.ts';
import type { KernelMount } from '../system/mountinfo.ts';
import { type RunningProgram, start } from '../system/run.ts';
import { isCacheTag } from './cachedir.ts';
import type { ByteSource } from './compare.ts';
import { entryNow } from './entry-now.ts';
import { parseFindSays, type Unlooked } from './find-says.ts';
import { formatRecord, parentOf, pathEnd, recordFormat } from './record.ts';

/** What a scan is told. Paths are byte strings (latin1). */
export interface ScanInput {
  /** Where to begin; none lies inside another unless that is pruned in between. */
  readonly starts: readonly string[];
  /** Directories that count themselves, without what is in them: the way to the starts. */
  readonly ways: readonly string[];
  /** Directories that are kept without their contents. */
  readonly pruned: readonly string[];
  /** An existing private directory; the scan's files stay in it. */
  readonly workDirectory: string;
  /** Where the tree is looked at. */
  readonly space: MountSpace;
  /** What is mounted, as the kernel says. */
  readonly mounts: readonly KernelMount[];
  readonly signal?: AbortSignal;
  /** Told now and then how many bytes of records there are. */
  readonly onProgress?: (recordBytes: number) => void;
}

/** Files with holes, by path: what they are said to hold, and what they take on their disk. */
export type SparseFiles = ReadonlyMap<string, { readonly sizeBytes: number; readonly allocatedBytes: number }>;

/** A tree as it was found. */
export interface Scan {
  /** A file of sorted records (see record.ts): everything below the starts, what rules leave out included. */
  readonly file: string;
  /** When it began, in seconds since 1970. */
  readonly beganAt: number;
  /** Directories with a valid CACHEDIR.TAG; never a start itself, because that would empty the run. */
  readonly cacheDirectories: readonly string[];
  /** What the device numbers in its records mean. */
  readonly devices: Devices;
  /** What could not be looked at, or not to its end. */
  readonly unlooked: readonly Unlooked[];
  /** The topmost encrypted directories, locked ones and open ones. */
  readonly encrypted: readonly EncryptedDirectory[];
  /** Large files that take less of their disk than they say they hold, by path (byte strings): they have holes. */
  readonly sparse: SparseFiles;
  /** Put before a path, it leads to where the tree was seen; see MountSpace. */
  readonly root: string;
  /** Why it cannot be compared with another one: it is not known what find could not look at. */
  readonly incomplete?: string;
}

/** Memory of sort; beyond it works in files. */
const sortMemory = '64M';

/**
 * Walks a tree with GNU find and sorts what it finds with GNU sort; neither the memory of byteback nor theirs grows with
 * the tree.
 * @throws ProgramError when one of the two is not installed; an AbortError when the signal fires.
 */
export async function scanTree(input: ScanInput): Promise<Scan> {
  const beganAt = Date.now() / 1000;
  const file = join(input.workDirectory, 'scan');
  const tags = join(input.workDirectory, 'tags');
  const subvolumes = join(input.workDirectory, 'subvolumes');
  const large = join(input.workDirectory, 'large');
  const signal = input.signal === undefined ? {} : { signal: input.signal };
  const ways = join(input.workDirectory, 'ways');
  await writeFile(ways, wayRecords(input.ways, input.space.root), { mode: 0o600 });
  const pipe = await openPipe(join(input.workDirectory, 'found'));
  const programs: RunningProgram[] = [];
  try {
    const sort = start(['sort', '-z', '-S', sortMemory, '-T', input.workDirectory, '-o', file, '--', '-', ways], {
      stdin: pipe.readFd,
      stderr: 'pipe',
      ...signal,
    });
    programs.push(sort);
    const find = start(
      [...input.space.enter, ...findArgv(input, { tags, subvolumes, large })] as [string, ...string[]],
      {
        stdout: pipe.writeFd,
        stderr: 'pipe',
        cwd: '/',
        ...signal,
      },
    );
    programs.push(find);
    // From here on the end of either is seen by the other.
    pipe.close();
    const stopTelling = tellProgress(sort.pid, input.onProgress);
    const [findSaid, sortSaid] = await Promise.all([collectText(find), collectText(sort)]).finally(stopTelling);
    const { exitCode } = await sort.ended;
    input.signal?.throwIfAborted();
    if (exitCode !== 0) throw new Error(`sort exited ${exitCode}: ${sortSaid.trim()}`);
    const found = await find.ended;
    // 1: it complained of something, which its messages tell; whatever else ended it may have cut its list.
    const { unlooked, unknown } = parseFindSays(findSaid);
    const incomplete = found.exitCode > 1 ? `find exited ${found.exitCode}` : unknown;
    const { root } = input.space;
    const cacheDirectories = await readTags(tags, input.starts, root);
    const tops = topsOf(input, readFileSync(subvolumes, 'latin1'));
    const devices = await readDevices(tops, input.mounts, root);
    const encrypted = await findEncrypted(tops, file, root);
    const known = { file, beganAt, cacheDirectories, devices, unlooked, encrypted, sparse: readSparse(large), root };
    return { ...known, ...(incomplete === undefined ? {} : { incomplete }) };
  } finally {
    pipe.close();
    for (const program of programs) program.kill('SIGKILL');
  }
}

/** What lies deeper is in no run. */
const longestTopBytes = 4000;

/** Where another device may begin: the starts, what is mounted below them, the tops of subvolumes. */
function topsOf({ starts, pruned, mounts }: ScanInput, subvolumes: string): string[] {
  const within = (path: string, place: string) => path === place || path.startsWith(place === '/' ? '/' : `${place}/`);
  const mounted = mounts
    .map(({ path }) => path)
    .filter((path) => starts.some((start) => within(path, start)) && !pruned.some((place) => within(path, place)));
  return [
    ...new Set([
      ...starts,
      ...mounted,
      ...subvolumes.split('\0').filter((path) => path !== '' && path.length <= longestTopBytes),
    ]),
  ];
}

const progressMs = 500;

/** Tells now and then how much a program has read (proc_pid_io(5)). Returns how to stop it. */
function tellProgress(pid: number, tell: ScanInput['onProgress']): () => void {
  if (tell === undefined) return () => undefined;
  const timer = setInterval(() => {
    try {
      tell(Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? 0));
    } catch {
      // It has ended, or its figures are not to be seen: nothing depends on them.
    }
  }, progressMs);
  return () => clearInterval(timer);
}

/** The records of the ways. */
function wayRecords(ways: readonly string[], root: string): Buffer {
  const records: string[] = [];
  for (const path of ways) {
    const entry = entryNow(path, root);
    if (entry?.type !== 'd') throw new Error(`${path} was a directory a moment ago`);
    records.push(`${formatRecord(entry)}\0`);
  }
  return Buffer.from(records.join(''), 'latin1');
}

/** Holes of smaller files cost nothing worth knowing. In blocks of 512 bytes. */
const largeBlocks = 2048;

function findArgv(
  input: ScanInput,
  { tags, subvolumes, large }: { tags: string; subvolumes: string; large: string },
): [string, ...string[]] {
  const prune = input.pruned.flatMap((path, index) => [...(index === 0 ? [] : ['-o']), '-path', findPattern(path)]);
  return [
    'find',
    ...input.starts.map((path) => Buffer.from(path, 'latin1').toString('utf8')),
    ...(prune.length === 0 ? [] : ['(', ...prune, ')', '-prune', '-printf', recordFormat, '-o']),
    // Tells of large files, and goes on with each.
    ...['-type', 'f', '-size', `+${largeBlocks - 1}`, '-fprintf', large, '%b %s %p\\0', '-false', '-o'],
    // Each subvolume of btrfs is a device of its own, and 256 the inode of its top.
    ...['-type', 'd', '-inum', '256', '-fprint0', subvolumes, '-printf', recordFormat, '-o'],
    ...['-type', 'f', '-name', 'CACHEDIR.TAG', '-fprint0', tags, '-printf', recordFormat, '-o'],
    '-printf',
    recordFormat,
  ];
}

/**
 * A -path pattern for one path. Arguments are text in Node: a byte that is no UTF-8 becomes `?`, which may prune a sibling
 * whose name differs in just that byte.
 */
function findPattern(path: string): string {
  const escaped = path.replace(/[\\*?[]/g, '\\$&');
  const text = Buffer.from(escaped, 'latin1').toString('utf8');
  return Buffer.from(text, 'utf8').toString('latin1') === escaped ? text : escaped.replace(/[^\x20-\x7e]/g, '?');
}

/** The files that have holes among the large ones that find told of. */
function readSparse(file: string): SparseFiles {
  const found = new Map<string, { sizeBytes: number; allocatedBytes: number }>();
  for (const line of readFileSync(file, 'latin1').split('\0')) {
    const [, blocks, size, path] = /^(\d+) (\d+) (.*)$/s.exec(line) ?? [];
    if (path === undefined) continue;
    const [sizeBytes, allocatedBytes] = [Number(size), Number(blocks) * 512];
    if (allocatedBytes < sizeBytes) found.set(path, { sizeBytes, allocatedBytes });
  }
  return found;
}

async function readTags(file: string, starts: readonly string[], root: string): Promise<string[]> {
  const directories: string[] = [];
  for (const path of readFileSync(file, 'latin1').split('\0')) {
    const directory = parentOf(path);
    if (path === '' || path.length > longestTopBytes || starts.includes(directory)) continue;
    if (await isCacheTag(Buffer.from(root + path, 'latin1'))) directories.push(directory);
  }
  // What lies inside another cache is left out with it.
  const sorted = directories.sort();
  return sorted.filter((path) => !sorted.some((other) => path.startsWith(`${other}/`)));
}

/** More complaints are not kept: what is cut off cannot be understood, and the scan is incomplete. */
const mostSaidBytes = 1024 * 1024;

async function collectText(program: RunningProgram): Promise<string> {
  let text = '';
  for await (const chunk of program.stderr ?? []) {
    if (text.length < mostSaidBytes) text += (chunk as Buffer).toString('latin1');
  }
  return text;
}

/** A file piece by piece, and its end. */
export function openSource(path: string): { next: ByteSource; close: () => void } {
  const file = openSync(path, 'r');
  return {
    next: () => {
      const piece = Buffer.allocUnsafe(1024 * 1024);
      const length = readSync(file, piece, 0, piece.length, null);
      return length === 0 ? undefined : piece.subarray(0, length);
    },
    close: () => closeSync(file),
  };
}

/** True when a path can be put in order with others. */
export function isOrderable(path: string): boolean {
  return !path.includes(pathEnd);
}
