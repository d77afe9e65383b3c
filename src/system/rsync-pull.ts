import { noEnvironment, quoteForRsh } from './rsync.ts';
import {
  decodeRsyncName,
  digestItemFormat,
  itemFormat,
  parseErrors,
  parseProgress,
  type RsyncErrors,
  type RsyncProgress,
} from './rsync-output.ts';
import { start } from './run.ts';
import { diesWithParent } from './ssh.ts';

/** One rsync that brings files from a snapshot, or compares them with it. */
export interface Pull {
  /** ssh and its options for a session on a connection; becomes -e. */
  readonly sessionArgv: readonly string[];
  /** `user@host`, an IPv6 address in brackets. */
  readonly host: string;
  /** What stands in rsync's place on the server: `restore SNAPSHOT`. */
  readonly remoteCommand: string;
  /** NUL-separated names relative to the root of the snapshot. */
  readonly listFile: string;
  /** Where the tree is built; it must exist. */
  readonly directory: string;
  readonly mode: /** Into a directory of its own. What is cut stays as the beginning of the next attempt. */
    | { readonly kind: 'fresh' }
    /** Over what is there. What is replaced gets this suffix; undefined replaces it for good. */
    | {
        readonly kind: 'over';
        readonly suffix: string | undefined;
        readonly keepParents: boolean;
        /** What looks the same by size and time is compared by content: a damaged file is put right. */
        readonly checksum: boolean;
      }
    /** Writes nothing; items are what differs, by content, too. */
    | {
        readonly kind: 'compare';
        readonly keepParents: boolean;
        /** Filter rules, NUL-separated: what they let through and the snapshot lacks is an item, too. */
        readonly rulesFile?: string;
      };
  /** Each item says the checksum of the file that came over: see `PullItem.digest`. */
  readonly digests?: boolean;
  /** Tells how far it is, also in the middle of a file: two lines more of each file, which takes time. */
  readonly progress: boolean;
  readonly ioTimeoutMs: number;
  readonly bwlimit?: string;
}

/** Something that was brought, changed, or differs. */
export interface PullItem {
  /** As rsync itemizes it, without what the letters stand for: `>f.st......`. */
  readonly flags: string;
  /** True for a file whose content came over, or would. */
  readonly content: boolean;
  readonly sizeBytes: number;
  /** MD5 of the whole file, as the server sent it and rsync compared it with what arrived. */
  readonly digest?: string;
  /** Relative to the directory, as bytes; a directory ends in a slash. */
  readonly name: Buffer;
}

/** How it ended. */
export interface PullResult {
  /** rsync's own; 128 + n when a signal ended it. */
  readonly exitCode: number;
  readonly errors: RsyncErrors;
  readonly stderr: string;
  readonly files: number;
  readonly bytes: number;
  /** What only root can make, device nodes above all, when it is not root who runs it. Relative to the directory. */
  readonly skipped: readonly Buffer[];
  /** Whether any content came over in this attempt. */
  readonly moved: boolean;
}

/** A half-written file must never stand in the place of one that is in use. */
const partialDirectory = '.byteback-partial';

/** The arguments of one pull. */
export function pullArgv(pull: Pull): [string, ...string[]] {
  const { mode } = pull;
  const keepParents = mode.kind !== 'fresh' && mode.keepParents;
  const modeFlags = {
    fresh: ['--partial', '--sparse'],
    over: [
      `--partial-dir=${partialDirectory}`,
      '--force',
      ...(mode.kind === 'over' && mode.checksum ? ['--checksum'] : []),
      ...(mode.kind === 'over' && mode.suffix !== undefined ? ['--backup', `--suffix=${mode.suffix}`] : []),
    ],
    compare: [
      '--dry-run',
      '--checksum',
      ...(mode.kind === 'compare' && mode.rulesFile !== undefined
        ? ['--delete', `--filter=merge ${mode.rulesFile}`]
        : []),
    ],
  }[mode.kind];
  return [
    'rsync',
    // --files-from turns the recursion of -a off: -r turns it on again.
    '-aHAX',
    '-r',
    '--numeric-ids',
    '--modify-window=-1',
    '--from0',
    `--files-from=${pull.listFile}`,
    ...(keepParents ? ['--no-implied-dirs'] : []),
    ...modeFlags,
    `--timeout=${Math.max(1, Math.round(pull.ioTimeoutMs / 1000))}`,
    ...(pull.bwlimit === undefined ? [] : [`--bwlimit=${pull.bwlimit}`]),
    // What both sides know, and what Node can compute, too; without it they would agree on another one.
    ...(pull.digests ? ['--checksum-choice=md5', `--out-format=${digestItemFormat}`] : [`--out-format=${itemFormat}`]),
    ...(pull.progress ? ['--info=progress2'] : []),
    '-e',
    pull.sessionArgv.map(quoteForRsh).join(' '),
    `--rsync-path=${pull.remoteCommand}`,
    '--',
    `${pull.host}:.`,
    pull.directory.endsWith('/') ? pull.directory : `${pull.directory}/`,
  ];
}

/** One line of `--out-format`; undefined for every other line. */
export function parsePullItem(line: string): PullItem | undefined {
  const match = /^=(.)(.{10}) (?:C([0-9a-f]{32}| {32}) )? *(\d+) (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, update = '', flags = '', digest = ' ', size, name = ''] = match;
  return {
    flags: update + flags,
    content: update === '>',
    sizeBytes: Number(size),
    ...(digest.startsWith(' ') ? {} : { digest }),
    name: decodeRsyncName(name),
  };
}

/** What is told while it runs. */
export interface PullWatcher {
  /** rsync waits for it: what takes long must not pile up. */
  item?(item: PullItem): Promise<void> | void;
  progress?(progress: RsyncProgress): void;
}

const keptErrorBytes = 4 * 1024 * 1024;

/** Runs one pull to its end, whatever that is. @throws ProgramError when rsync is not installed. */
export async function runPull(
  pull: Pull,
  options: { watcher?: PullWatcher; signal?: AbortSignal } = {},
): Promise<PullResult> {
  const rsync = start([...diesWithParent, ...pullArgv(pull)], {
    stdout: 'pipe',
    stderr: 'pipe',
    cwd: '/',
    env: noEnvironment,
    detached: true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  let stderr = '';
  rsync.stderr?.on('data', (chunk: Buffer) => {
    // latin1 keeps every byte; what is not ASCII is escaped by rsync anyway.
    if (stderr.length < keptErrorBytes) stderr += chunk.toString('latin1');
  });
  let files = 0;
  let bytes = 0;
  let moved = false;
  const skipped: Buffer[] = [];
  const take = (line: string): Promise<void> | void => {
    const item = parsePullItem(line);
    if (item === undefined) {
      const left = /^skipping non-regular file "(.*)"$/.exec(line)?.[1];
      if (left !== undefined) skipped.push(decodeRsyncName(left));
      return;
    }
    if (item.content) {
      files += 1;
      bytes += item.sizeBytes;
      moved = true;
    }
    return options.watcher?.item?.(item);
  };
  if (rsync.stdout !== null) {
    rsync.stdout.setEncoding('latin1');
    let rest = '';
    // Cut by hand: readline takes as long for a line as all the rest of this.
    for await (const chunk of rsync.stdout as AsyncIterable<string>) {
      const lines = `${rest}${chunk}`.split(/[\r\n]/);
      rest = lines.pop() ?? '';
      let last: string | undefined;
      for (const line of lines) {
        if (/^[ \d]/.test(line)) {
          // Of how far it is, only the newest counts.
          last = line;
          continue;
        }
        const done = take(line);
        if (done !== undefined) await done;
      }
      const progress = parseProgress(last ?? '');
      if (progress === undefined) continue;
      if (progress.bytes > 0) moved = true;
      options.watcher?.progress?.(progress);
    }
    await take(rest);
  }
  const { exitCode } = await rsync.ended;
  return { exitCode, errors: parseErrors(stderr), stderr, files, bytes, skipped, moved };
}
