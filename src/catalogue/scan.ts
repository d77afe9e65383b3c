import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningProgram, start } from '../system/run.ts';
import { isCacheTag } from './cachedir.ts';
import type { RuleMatcher } from './excludes.ts';

/** What a scan is told. Paths are byte strings (latin1). */
export interface ScanInput {
  /** Where to begin; none lies inside another unless that is pruned in between. */
  readonly starts: readonly string[];
  /** The rules of the run; undefined when they cannot be expressed, and then everything is counted. */
  readonly matcher: RuleMatcher | undefined;
  /** Directories that are kept without their contents. */
  readonly pruned: readonly string[];
  /** An existing private directory for the lists of large files. */
  readonly spoolDirectory: string;
  /** From this size on a file with one name is listed. */
  readonly largeBytes: number;
  /** The group of a large file, by its size; each group gets a list of its own. */
  readonly groupOf: (sizeBytes: number) => number;
  /** Files whose times are later count as changed: seconds since 1970. Undefined: all of them. */
  readonly changedSince?: number;
  readonly signal?: AbortSignal;
  /** Told now and then how many entries were seen. */
  readonly onProgress?: (entries: number, bytes: number) => void;
}

/** Large files of one group, as a file of NUL-separated paths relative to the root. */
export interface LargeFileList {
  readonly group: number;
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
}

/** What a tree holds. */
export interface ScanResult {
  /** Everything that is not a directory. */
  readonly files: number;
  readonly directories: number;
  /** Bytes of content; a file with several names counts once. */
  readonly bytes: number;
  /** Those bytes of them that changed since the given time. */
  readonly changedBytes: number;
  readonly large: readonly LargeFileList[];
  /** Directories with a valid CACHEDIR.TAG: only the tag in them counts. */
  readonly cacheDirectories: readonly string[];
}

interface Totals {
  files: number;
  directories: number;
  bytes: number;
  changedBytes: number;
}

/**
 * Walks a tree with GNU find and counts what the rules let through. The memory it takes does not grow with the tree: large
 * files are listed on disk. What cannot be read is passed over here; rsync names it later.
 * @throws ProgramError when find is not installed; an AbortError when the signal fires.
 */
export async function scanTree(input: ScanInput): Promise<ScanResult> {
  const totals: Totals = { files: 0, directories: 0, bytes: 0, changedBytes: 0 };
  const spools = new Map<number, Spool>();
  const cacheDirectories: string[] = [];
  const starts = new Set(input.starts);
  const open: { prefix: string; totals: Totals; marks: Map<number, SpoolMark> }[] = [];
  let skipPrefix: string | undefined;
  let seen = 0;

  const take = async (type: string, size: number, links: number, changed: number, path: string): Promise<void> => {
    if (skipPrefix !== undefined) {
      if (path.startsWith(skipPrefix)) return;
      skipPrefix = undefined;
    }
    while (open.length > 0 && !path.startsWith(open.at(-1)?.prefix ?? '')) open.pop();
    const isDirectory = type === 'd';
    const prefix = path === '/' ? '/' : `${path}/`;
    if (!starts.has(path) && input.matcher?.verdict(path.slice(1), isDirectory) === 'exclude') {
      if (isDirectory) skipPrefix = prefix;
      return;
    }
    if (isDirectory) {
      totals.directories += 1;
      open.push({
        prefix,
        totals: { ...totals },
        marks: new Map([...spools].map(([group, spool]) => [group, spool.mark()])),
      });
      return;
    }
    totals.files += 1;
    if (type !== 'f') return;
    const share = Math.round(size / Math.max(links, 1));
    totals.bytes += share;
    // A new ctime goes with every change of content, and with many that are none: rather too much than too little.
    if (input.changedSince === undefined || changed >= input.changedSince) totals.changedBytes += share;
    if (links === 1 && size >= input.largeBytes) {
      const group = input.groupOf(size);
      let spool = spools.get(group);
      if (spool === undefined) {
        spool = await openSpool(join(input.spoolDirectory, `large-${group}`));
        spools.set(group, spool);
      }
      await spool.add(path.slice(1), size);
    }
    const directory = open.at(-1);
    // A tag at the top of what was asked for is not heeded: it would empty the whole run.
    if (
      path.endsWith('/CACHEDIR.TAG') &&
      directory !== undefined &&
      !starts.has(directory.prefix.slice(0, -1) || '/')
    ) {
      if (!(await isCacheTag(Buffer.from(path, 'latin1')))) return;
      // Whatever of this directory came before its tag is taken back; what follows is skipped.
      Object.assign(totals, directory.totals, { files: directory.totals.files + 1 });
      for (const [group, spool] of spools) await spool.rewind(directory.marks.get(group));
      cacheDirectories.push(directory.prefix.slice(0, -1));
      skipPrefix = directory.prefix;
    }
  };

  const find = startFind(input);
  try {
    for await (const record of records(find)) {
      const [type = '', size, links, changed] = record.split(' ', 4);
      const path = record.slice(record.indexOf('/'));
      await take(type, Number(size), Number(links), Number(changed), path);
      seen += 1;
      if (seen % 20_000 === 0) input.onProgress?.(seen, totals.bytes);
    }
    await find.ended;
    input.signal?.throwIfAborted();
  } finally {
    find.kill('SIGTERM');
    for (const spool of spools.values()) await spool.close();
  }
  const large = [...spools]
    .map(([group, spool]) => ({ group, path: spool.path, ...spool.sum() }))
    .filter(({ files }) => files > 0);
  return { ...totals, large: large.sort((a, b) => a.group - b.group), cacheDirectories };
}

function startFind(input: ScanInput): RunningProgram {
  const format = '%y %s %n %C@ %p\\0';
  const prune = input.pruned.flatMap((path, index) => [...(index === 0 ? [] : ['-o']), '-path', findPattern(path)]);
  return start(
    [
      'find',
      ...input.starts.map((path) => Buffer.from(path, 'latin1').toString('utf8')),
      ...(prune.length === 0 ? [] : ['(', ...prune, ')', '-prune', '-printf', format, '-o']),
      '-printf',
      format,
    ],
    { stdout: 'pipe', cwd: '/', ...(input.signal === undefined ? {} : { signal: input.signal }) },
  );
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

/** The NUL-terminated records that a program prints, as byte strings. */
async function* records(program: RunningProgram): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of program.stdout ?? []) {
    const text = rest + (chunk as Buffer).toString('latin1');
    let from = 0;
    for (let end = text.indexOf('\0'); end >= 0; end = text.indexOf('\0', from)) {
      yield text.slice(from, end);
      from = end + 1;
    }
    rest = text.slice(from);
  }
}

interface SpoolMark {
  readonly length: number;
  readonly files: number;
  readonly bytes: number;
}

/** A list on disk that can be taken back to an earlier length. */
interface Spool {
  readonly path: string;
  add(name: string, sizeBytes: number): Promise<void>;
  mark(): SpoolMark;
  rewind(mark: SpoolMark | undefined): Promise<void>;
  sum(): { files: number; bytes: number };
  close(): Promise<void>;
}

async function openSpool(path: string): Promise<Spool> {
  const file: FileHandle = await open(path, 'w', 0o600);
  let buffered = '';
  let written = 0;
  let files = 0;
  let bytes = 0;
  const flush = async () => {
    const chunk = Buffer.from(buffered, 'latin1');
    await file.write(chunk, 0, chunk.length, written);
    written += chunk.length;
    buffered = '';
  };
  return {
    path,
    async add(name, sizeBytes) {
      buffered += `${name}\0`;
      files += 1;
      bytes += sizeBytes;
      if (buffered.length >= 65_536) await flush();
    },
    mark: () => ({ length: written + buffered.length, files, bytes }),
    async rewind(mark = { length: 0, files: 0, bytes: 0 }) {
      await flush();
      await file.truncate(mark.length);
      written = mark.length;
      files = mark.files;
      bytes = mark.bytes;
    },
    sum: () => ({ files, bytes }),
    async close() {
      await flush();
      await file.close();
    },
  };
}
