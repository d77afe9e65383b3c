import { meterPull, type PullMeter } from './pull-progress.ts';
import { noEnvironment, quoteForRsh } from './rsync.ts';
import { withoutRights, withRights } from './rsync-attributes.ts';
import { parseErrors, type RsyncErrors } from './rsync-errors.ts';
import { digestItemFormat, itemFormat } from './rsync-output.ts';
import { PullTold, type PullWatcher } from './rsync-pull-told.ts';
import { type RunningProgram, start } from './run.ts';
import { openSlowPipe } from './slow-pipe.ts';
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
  /**
   * All of the snapshot, and no list is asked for: rsync 3.5 opens each directory on the way to each file that a list leads to,
   * twice over, which of 100,000 files takes a third of the server's time.
   */
  readonly everything?: boolean;
  /** Only the names in the list, not what is below them. */
  readonly namesOnly?: boolean;
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
    /** Only what belongs to directories that are there: rsync sets none of their times where it keeps what it replaces. */
    | { readonly kind: 'directories'; readonly keepParents: boolean }
    /** Writes nothing; items are what differs, by content, too. */
    | {
        readonly kind: 'compare';
        readonly keepParents: boolean;
        /** Filter rules, NUL-separated: what they let through and the snapshot lacks is an item, too. */
        readonly rulesFile?: string;
        /** Put before it: where it sees the tree; see MountSpace. */
        readonly enter?: readonly string[];
      };
  /**
   * `most` leaves out large files. `withHoles` leaves holes where there are zeros. A comparison needs neither of them.
   */
  readonly files?: 'most' | 'withHoles';
  /**
   * Extended attributes that give rights come, too; without this only a comparison looks at them. Directories on the way are left
   * as they are. Only root can set them.
   */
  readonly rights?: boolean;
  /** Brings also what looks the same by size and time. */
  readonly again?: boolean;
  /** Each item says the checksum of the file that came over: see `PullItem.digest`. */
  readonly digests?: boolean;
  /**
   * Nothing comes that would give rights on this machine: no setuid and setgid bits, no privileged attributes; the rules (NUL-separated,
   * so `everything` must not be set) name the devices, and the kernel refuses to make others.
   */
  readonly unprivileged?: { readonly rulesFile: string };
  readonly ioTimeoutMs: number;
  readonly bwlimit?: string;
}

/** Attributes that only a privileged process may set. */
const privilegedAttributes = ['security.**', 'trusted.**'];

/** Put before rsync: root's, but it cannot make a device node. */
const withoutDevices = ['setpriv', '--bounding-set', '-mknod', '--'] as const;

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
  /** One of the two rsyncs was built without the digests that were asked for; nothing was done. */
  readonly lacksDigests: boolean;
  /** Whether any content came over in this attempt. */
  readonly moved: boolean;
}

/** A half-written file must never stand in the place of one that is in use. */
export const partialDirectory = '.byteback-partial';

/**
 * From this size on, zeros become holes. rsync then writes a kilobyte at a time, which would take longer for small files
 * than all the rest; and a small one that comes back without its holes takes less than this.
 */
export const largeBytes = 1024 * 1024;

/** What rsync itself prefers since 3.2.0: of 9 kB it takes a tenth of the time of SHA-1. It sees a disk that spoils, not a forger. */
const digestName = 'xxh128';

/** The arguments of one pull. @param listFile `-` for standard input */
export function pullArgv(pull: Pull, listFile = pull.listFile): [string, ...string[]] {
  const { mode } = pull;
  const isRoot = process.getuid?.() === 0;
  const keepParents = mode.kind !== 'fresh' && mode.keepParents;
  const modeFlags = {
    fresh: ['--partial'],
    over: [
      `--partial-dir=${partialDirectory}`,
      ...(mode.kind === 'over' && mode.checksum ? ['--checksum'] : []),
      ...(mode.kind === 'over' && mode.suffix !== undefined ? ['--backup', `--suffix=${mode.suffix}`] : []),
    ],
    directories: ['--existing', '--ignore-existing'],
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
    '-aHAX',
    '--numeric-ids',
    '--modify-window=-1',
    ...(isRoot && (pull.rights || mode.kind === 'compare') ? withRights : withoutRights),
    // A list turns the recursion of -a off: -r turns it on again.
    ...(pull.everything || pull.namesOnly ? [] : ['-r']),
    ...(pull.everything ? [] : ['--from0', `--files-from=${listFile}`]),
    ...((keepParents || pull.rights) && !pull.everything ? ['--no-implied-dirs'] : []),
    ...modeFlags,
    ...(pull.files === 'most' ? [`--max-size=${largeBytes - 1}`] : []),
    ...(pull.files === 'withHoles' ? ['--sparse'] : []),
    ...(pull.again ? ['--ignore-times'] : []),
    ...(pull.unprivileged === undefined
      ? []
      : [
          '--chmod=ug-s',
          ...privilegedAttributes.map((pattern) => `--filter=-x ${pattern}`),
          `--filter=merge ${pull.unprivileged.rulesFile}`,
        ]),
    `--timeout=${Math.max(1, Math.round(pull.ioTimeoutMs / 1000))}`,
    ...(pull.bwlimit === undefined ? [] : [`--bwlimit=${pull.bwlimit}`]),
    // Without a word the two sides could agree on another one.
    ...(pull.digests
      ? [`--checksum-choice=${digestName}`, `--out-format=${digestItemFormat}`]
      : [`--out-format=${itemFormat}`]),
    '-e',
    pull.sessionArgv.map(quoteForRsh).join(' '),
    `--rsync-path=${pull.remoteCommand}`,
    '--',
    `${pull.host}:.`,
    pull.directory.endsWith('/') ? pull.directory : `${pull.directory}/`,
  ];
}

const keptErrorBytes = 4 * 1024 * 1024;

/** What a pull that was started ahead waits for. */
export interface PullRequest {
  /** What is in the list. */
  readonly list: Buffer;
  readonly watcher: PullWatcher;
}

/**
 * Runs one pull to its end, whatever that is.
 * @param options.request when it is given, the list file need not be there: both sides start, and wait for this. They are
 * ended when it turns out to be undefined.
 * @throws ProgramError when rsync is not installed.
 */
export async function runPull(
  pull: Pull,
  options: { watcher?: PullWatcher; signal?: AbortSignal; request?: Promise<PullRequest | undefined> } = {},
): Promise<PullResult> {
  const told = new PullTold(options.watcher ?? {});
  const { request } = options;
  let rsync: RunningProgram | undefined;
  // rsync tells of each file by itself: woken each time, we would do little else.
  const pipe = await openSlowPipe(`${pull.listFile}-told`, (text) => {
    try {
      return told.hear(text)?.catch(giveUp);
    } catch (error) {
      return giveUp(error);
    }
  });
  // Otherwise it would wait for ever for somebody to read what it tells.
  const giveUp = (error: unknown): never => {
    rsync?.kill('SIGKILL');
    throw error;
  };
  let stderr = '';
  let meter: PullMeter | undefined;
  try {
    const enter = pull.mode.kind === 'compare' ? (pull.mode.enter ?? []) : [];
    const limited = pull.unprivileged !== undefined && process.getuid?.() === 0 ? withoutDevices : [];
    rsync = start(
      [...diesWithParent, ...limited, ...enter, ...pullArgv(pull, request === undefined ? pull.listFile : '-')],
      {
        stdin: request === undefined ? 'ignore' : 'pipe',
        stdout: pipe.writeFd,
        stderr: 'pipe',
        cwd: '/',
        env: noEnvironment,
        detached: true,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    pipe.started();
    const writes = pull.mode.kind === 'fresh' || pull.mode.kind === 'over';
    meter = meterPull(rsync.pid, writes, (progress) => told.watcher.progress?.(progress));
    rsync.stderr?.on('data', (chunk: Buffer) => {
      // latin1 keeps every byte; what is not ASCII is escaped by rsync anyway.
      if (stderr.length < keptErrorBytes) stderr += chunk.toString('latin1');
    });
    // When it ends before it has read all of it: why, is told by its end.
    rsync.stdin?.on('error', () => undefined);
    void request?.then((known) => {
      if (known === undefined) return rsync?.kill('SIGKILL');
      told.watcher = known.watcher;
      rsync?.stdin?.end(known.list);
    });
    await rsync.ended;
  } finally {
    meter?.stop();
    await pipe.end();
  }
  await told.end();
  const { exitCode } = await rsync.ended;
  const { files, bytes, skipped } = told;
  const moved = told.moved || meter.moved;
  const lacksDigests = /^unknown checksum name: /m.test(stderr);
  return { exitCode, errors: parseErrors(stderr), stderr, files, bytes, skipped, moved, lacksDigests };
}
