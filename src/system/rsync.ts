import { readFileSync } from 'node:fs';
import { parseErrors, type RsyncErrors } from './rsync-errors.ts';
import {
  parseItem,
  parseProgress,
  parseStats,
  type RsyncItem,
  type RsyncProgress,
  type RsyncStats,
  sentItemFormat,
} from './rsync-output.ts';
import { type RunningProgram, start } from './run.ts';
import { openSlowPipe } from './slow-pipe.ts';
import { diesWithParent } from './ssh.ts';

/** What every rsync of a run shares. */
export interface RsyncConnection {
  /** ssh and its options for a session on the run's connection; becomes -e. */
  readonly sessionArgv: readonly string[];
  /** `user@host`, an IPv6 address in brackets. */
  readonly host: string;
  /** What stands in rsync's place on the server: `transfer RUN`. */
  readonly remoteCommand: string;
  readonly ioTimeoutMs: number;
  /** rsync's own form. */
  readonly bwlimit?: string;
  /** A file of NUL-separated filter rules: they hold for every pass that lists directories. */
  readonly rulesFile: string;
  /** What is listed and not found here is left there as it is; only the pass that removes deletes it. */
  readonly keepsMissing?: boolean;
  /** Put before it: where it sees the tree; see MountSpace. */
  readonly enter?: readonly string[];
  /** Options that the admin added. */
  readonly extraFlags?: readonly string[];
}

/** One rsync of a run, always from the root. Lists are files of NUL-separated paths relative to the root. */
export type RsyncPass =
  /** Large files that have one name here and there, written in place. */
  | {
      readonly kind: 'inPlace';
      readonly listFile: string;
      readonly blockSizeBytes: number;
      /** Compared by content, not by size and time. */
      readonly checksum?: boolean;
    }
  /** What is listed, directories without what is in them; what is listed and not there is deleted on the other side. */
  | {
      readonly kind: 'list';
      readonly listFile: string;
      readonly checksum?: boolean;
      /** Zeros become holes; never in place. What goes over is compressed: of zeros nothing is left. */
      readonly sparse?: boolean;
    }
  /** The same by checksum, and those that are listed with a slash at the end with what lies directly in them; what is in excess there is deleted. */
  | {
      readonly kind: 'check';
      readonly listFile: string;
      /** Only tells what differs. */
      readonly dryRun?: boolean;
      /**
       * rsync 3.5 opens each directory on the way to each file that a list leads to, lest a link there leads elsewhere: 30 µs a
       * file, a third of a check. Whoever says this has looked at the way, once.
       */
      readonly trustsLinks?: boolean;
    }
  /** What is listed, whatever the rules say: what is not there, which is deleted on the other side, and the way to it. */
  | { readonly kind: 'remove'; readonly listFile: string }
  /**
   * All that the rules let through; what they do not, is deleted there unless they protect it. Where nothing is yet, files
   * are written under their own names at once: a name for the time being and a rename are a fifth of the receiver's work.
   */
  | { readonly kind: 'everything'; readonly intoNothing?: boolean };

/** Block sizes from which rsync could make more blocks than it handles well start here. */
const smallBlockBytes = 4096;
/** rsync's own limit since protocol 30. */
const largestBlockBytes = 128 * 1024;

/**
 * The block size for a large file: 4 KiB, what btrfs writes, so that a changed block costs a block; more beyond 4 GiB,
 * so that a file never has many more than a million of them.
 */
export function blockSizeFor(sizeBytes: number): number {
  let blockBytes = smallBlockBytes;
  while (blockBytes < largestBlockBytes && sizeBytes > blockBytes * 1024 * 1024) blockBytes *= 2;
  return blockBytes;
}

/** rsync splits -e at spaces itself and knows both quotes, doubled inside. */
export function quoteForRsh(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "''")}'`;
}

/** Options that hold for both passes. -H: without it a receiver's guard against planted names is off (CVE-2026-70458). */
const commonFlags = ['-aHAX', '--numeric-ids', '--modify-window=-1', '--from0'];

function passFlags(pass: RsyncPass, { rulesFile, keepsMissing }: RsyncConnection): string[] {
  const missing = keepsMissing ? '--ignore-missing-args' : '--delete-missing-args';
  switch (pass.kind) {
    case 'inPlace':
      return [
        ...['--inplace', '--no-whole-file', `--block-size=${pass.blockSizeBytes}`, '--force'],
        ...(pass.checksum ? ['--checksum', missing] : []),
        `--files-from=${pass.listFile}`,
      ];
    case 'list':
      // --force: what is deleted, or was a directory and is none now, need not be empty.
      return [
        ...['--partial', '--force', missing],
        ...(pass.checksum ? ['--checksum'] : []),
        ...(pass.sparse ? ['--sparse', '--compress'] : []),
        // The root is listed as `.`, and that shows what lies directly in it, too.
        `--filter=merge ${rulesFile}`,
        `--files-from=${pass.listFile}`,
      ];
    case 'remove':
      return ['--force', '--delete-missing-args', `--files-from=${pass.listFile}`];
    case 'check':
      return [
        ...(pass.dryRun ? ['--dry-run'] : []),
        ...(pass.trustsLinks ? ['--insecure-links'] : []),
        ...['--dirs', '--checksum', '--delete', '--delete-excluded', missing, '--force', '--partial'],
        `--filter=merge ${rulesFile}`,
        `--files-from=${pass.listFile}`,
      ];
    case 'everything':
      return [
        ...['--delete', '--delete-excluded', pass.intoNothing ? '--inplace' : '--partial'],
        `--filter=merge ${rulesFile}`,
      ];
  }
}

/** The arguments of one pass. */
export function rsyncArgv(connection: RsyncConnection, pass: RsyncPass): [string, ...string[]] {
  return [
    'rsync',
    ...commonFlags,
    ...passFlags(pass, connection),
    `--timeout=${Math.max(1, Math.round(connection.ioTimeoutMs / 1000))}`,
    ...(connection.bwlimit === undefined ? [] : [`--bwlimit=${connection.bwlimit}`]),
    `--out-format=${sentItemFormat}`,
    '--info=progress2,stats2',
    ...(connection.extraFlags ?? []),
    '-e',
    connection.sessionArgv.map(quoteForRsh).join(' '),
    `--rsync-path=${connection.remoteCommand}`,
    '--',
    '/',
    `${connection.host}:.`,
  ];
}

/** rsync takes options from these too; a run must not depend on who started it. */
export const noEnvironment = {
  RSYNC_RSH: '',
  RSYNC_PROTECT_ARGS: '',
  RSYNC_OLD_ARGS: '',
  RSYNC_ICONV: '',
  RSYNC_PARTIAL_DIR: '',
  RSYNC_CHECKSUM_LIST: '',
  RSYNC_COMPRESS_LIST: '',
};

/** How one rsync ended. */
export interface RsyncResult {
  /** rsync's own; 128 + n when a signal ended it. */
  readonly exitCode: number;
  readonly stats: RsyncStats;
  readonly errors: RsyncErrors;
  readonly stderr: string;
  /** Files whose sending ended, and their bytes; also known when rsync was cut. */
  readonly sentFiles: number;
  readonly sentBytes: number;
  /** Whether any content went over in this attempt. */
  readonly moved: boolean;
  /** Both directions; of an rsync that was cut, what it had written shortly before. */
  readonly wireBytes: number;
}

/** What is told while rsync runs. */
export interface RsyncWatcher {
  item?(item: RsyncItem): void;
  progress?(progress: RsyncProgress): void;
}

/** Standard error that is kept: the beginning names the files, the end says why it stopped. */
const keptErrorBytes = 4 * 1024 * 1024;

/**
 * Runs one pass to its end, whatever that is. When the signal fires rsync is ended, and with it the receiver.
 * @throws ProgramError when rsync is not installed.
 */
export async function runRsync(
  connection: RsyncConnection,
  pass: RsyncPass,
  options: { watcher?: RsyncWatcher; signal?: AbortSignal } = {},
): Promise<RsyncResult> {
  const told = new RsyncTold(options.watcher ?? {});
  // Of a walk much is told: see there.
  const pipe = pass.kind === 'everything' ? await openSlowPipe(`${connection.rulesFile}-told`, told.hear) : undefined;
  let rsync: RunningProgram;
  try {
    rsync = start([...diesWithParent, ...(connection.enter ?? []), ...rsyncArgv(connection, pass)], {
      stdout: pipe?.writeFd ?? 'pipe',
      stderr: 'pipe',
      cwd: '/',
      env: noEnvironment,
      detached: true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    await pipe?.end();
    throw error;
  }
  pipe?.started();
  let stderr = '';
  rsync.stderr?.on('data', (chunk: Buffer) => {
    // latin1 keeps every byte; what is not ASCII is escaped by rsync anyway.
    if (stderr.length < keptErrorBytes) stderr += chunk.toString('latin1');
  });
  let writtenBytes = 0;
  const meter = setInterval(() => {
    writtenBytes = writtenBy(rsync.pid) ?? writtenBytes;
  }, 100);
  rsync.stdout?.setEncoding('latin1').on('data', told.hear);
  const { exitCode } = await rsync.ended;
  await pipe?.end();
  clearInterval(meter);
  told.end();
  const { sentFiles, sentBytes, moved, statsText } = told;
  const stats = parseStats(statsText);
  const wireBytes = stats.wireBytes > 0 ? stats.wireBytes : writtenBytes;
  return { exitCode, stats, errors: parseErrors(stderr), stderr, sentFiles, sentBytes, moved, wireBytes };
}

/** What rsync tells on its standard output, understood piece by piece. */
class RsyncTold {
  readonly #watcher: RsyncWatcher;
  #rest = '';
  statsText = '';
  sentFiles = 0;
  sentBytes = 0;
  moved = false;

  constructor(watcher: RsyncWatcher) {
    this.#watcher = watcher;
  }

  /** One byte a character. */
  readonly hear = (text: string): void => {
    // Progress lines begin with a carriage return.
    const lines = (this.#rest + text).split(/[\r\n]/);
    this.#rest = lines.pop() ?? '';
    this.#understand(lines);
  };

  /** Nothing more comes. */
  end(): void {
    this.#understand([this.#rest]);
    this.#rest = '';
  }

  #understand(lines: readonly string[]): void {
    // rsync tells its progress after each file: of a whole piece the last word is enough.
    let last: string | undefined;
    for (const line of lines) {
      if (line === '') continue;
      const item = parseItem(line);
      if (item !== undefined) this.#note(item);
      else if (line.startsWith(' ')) last = line;
      else if (/^[A-Z][A-Za-z ]+: /.test(line)) this.statsText += `${line}\n`;
    }
    const progress = last === undefined ? undefined : parseProgress(last);
    if (progress === undefined) return;
    if (progress.bytes > 0) this.moved = true;
    this.#watcher.progress?.(progress);
  }

  #note(item: RsyncItem): void {
    if (item.kind === 'sent') {
      this.sentFiles += 1;
      this.sentBytes += item.sizeBytes;
      this.moved = true;
    }
    this.#watcher.item?.(item);
  }
}

/** What a process has written so far, to its pipes for the most part; undefined when it has ended. */
function writtenBy(pid: number): number | undefined {
  try {
    const written = /^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1];
    return written === undefined ? undefined : Number(written);
  } catch {
    // It has ended between two looks; the last one counts.
    return undefined;
  }
}

/** What rsync's exit codes mean, for people. */
export const rsyncExitMeanings: Readonly<Record<number, string>> = {
  1: 'syntax or usage error',
  2: 'the two rsyncs speak no common protocol',
  3: 'errors selecting input or output files or directories',
  4: 'something asked for is not supported by one side',
  5: 'error starting the client-server protocol',
  10: 'error in socket I/O',
  11: 'error in file I/O',
  12: 'error in the rsync protocol data stream',
  13: 'errors with program diagnostics',
  14: 'error in interprocess communication',
  15: 'a process of it crashed',
  16: 'a process of it was ended',
  19: 'it received SIGUSR1',
  20: 'it was told to end, by a signal',
  21: 'some error returned by waitpid',
  22: 'out of memory',
  23: 'some files could not be transferred',
  24: 'some files vanished before they could be transferred',
  25: 'the limit of deletions stopped them',
  30: 'timeout in data send/receive',
  35: 'timeout waiting for a connection',
  76: 'the server refused or ended the transfer',
  127: 'rsync or ssh is not installed',
  255: 'the connection was lost',
};
