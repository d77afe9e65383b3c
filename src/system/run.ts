import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { BytebackError, type ExitName, reasonOf } from '../errors.ts';
import { type ProgramEnd, startProgram } from './program.ts';
import { announceProgram } from './program-events.ts';

/** How a program is started. */
export interface RunOptions {
  /**
   * Bytes or text for standard input; nothing (end of file at once) by default. A promise of it starts the program ahead: it loads
   * meanwhile. When the promise fails, the program gets the end of file, and `run` fails with the promise's error once it has ended.
   */
  readonly input?: string | Uint8Array | Promise<string | Uint8Array>;
  readonly cwd?: string;
  /** Added to the environment of the program; LC_ALL=C is always set. */
  readonly env?: Readonly<Record<string, string>>;
  /** The program is ended with SIGTERM, then SIGKILL, after this long. Default 60,000 ms; 0 is no limit. */
  readonly timeoutMs?: number;
  /** Exit codes that are no failure; only 0 by default. */
  readonly accept?: readonly number[];
  /** File descriptors of ours that the program gets as its 3, 4, … */
  readonly passFds?: readonly number[];
  /** Bytes that the program reads, to the end of file, from the descriptors after those. */
  readonly feedFds?: readonly Uint8Array[];
  /** Kept at most, of each stream; more is an error. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  readonly signal?: AbortSignal;
  /** Who runs it, without any further group; only root can choose. */
  readonly account?: { readonly uid: number; readonly gid: number };
}

/** What a program left behind. */
export interface RunResult {
  readonly stdout: Buffer;
  /** Always text: programs are run with LC_ALL=C. */
  readonly stderr: string;
  /** 128 + n when signal n ended it, as a shell says it. */
  readonly exitCode: number;
}

/** A program that failed: not found, a refused exit code, a timeout or a signal. */
export class ProgramError extends BytebackError {
  readonly argv: readonly string[];
  readonly exitCodeOfProgram: number | undefined;
  readonly stderr: string;
  /** True when the program is not installed. */
  readonly notFound: boolean;

  constructor(
    argv: readonly string[],
    detail: {
      exitCode?: number;
      stderr?: string;
      why: string;
      notFound?: boolean;
      exit?: Exclude<ExitName, 'ok'>;
      what?: string;
      fix?: string;
    },
  ) {
    super(detail.exit ?? 'bug', {
      what: detail.what ?? `${argv[0]} failed`,
      why: detail.why,
      ...(detail.fix === undefined ? {} : { fix: detail.fix }),
    });
    this.name = 'ProgramError';
    this.argv = argv;
    this.exitCodeOfProgram = detail.exitCode;
    this.stderr = detail.stderr ?? '';
    this.notFound = detail.notFound ?? false;
  }
}

/** As a shell says it; undefined when it could not be started. */
function exitCodeOf({ code, signal }: ProgramEnd): number | undefined {
  return code ?? (signal === null ? undefined : 128 + constants.signals[signal]);
}

/** Where the bytes for the descriptors after the three go, and those that are passed on. Never the inherited locale. */
function common({ passFds = [], feedFds = [], ...options }: RunOptions) {
  return {
    further: [...passFds, ...feedFds.map(() => 'pipe' as const)],
    feed: new Map<number, string | Uint8Array>(feedFds.map((bytes, index) => [3 + passFds.length + index, bytes])),
    env: { LC_ALL: 'C', ...options.env },
    cwd: options.cwd,
    signal: options.signal,
    account: options.account,
  };
}

/**
 * Runs a program to its end and returns what it printed. The only place besides `start` where byteback starts one.
 * @throws ProgramError when the program is missing, times out, is killed, or ends with a code that is not accepted.
 */
export async function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const announceEnd = announceProgram(argv);
  const { further, feed, ...rest } = common(options);
  const later = options.input instanceof Promise ? options.input : undefined;
  if (options.input !== undefined && !(options.input instanceof Promise)) feed.set(0, options.input);
  const program = startProgram(argv, {
    ...rest,
    feed,
    timeoutMs: options.timeoutMs ?? 60_000,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...further],
  });
  later?.then(
    (input) => program.child?.stdin?.end(input),
    () => program.child?.stdin?.end(),
  );
  const [out, err] = [program.child?.stdout, program.child?.stderr].map((stream) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    stream?.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > (options.maxOutputBytes ?? 64 * 1024 * 1024)) program.stop('output');
      else chunks.push(chunk);
    });
    return chunks;
  });
  const end = await program.ended;
  const stdout = Buffer.concat(out ?? []);
  const stderr = Buffer.concat(err ?? []).toString('utf8');
  const exitCode = exitCodeOf(end);
  announceEnd(exitCode);
  if (later !== undefined) await settledOrEnded(later);
  if (exitCode === undefined || end.stopped !== undefined) {
    throw new ProgramError(argv, { stderr, why: failureReason(argv, end), notFound: end.error?.code === 'ENOENT' });
  }
  if (!(options.accept ?? [0]).includes(exitCode)) {
    // Nobody's mistake: it was killed, or memory ran out.
    const killed =
      end.signal === null
        ? {}
        : {
            exit: 'interrupted' as const,
            what: `${argv[0]} was ended by ${end.signal}`,
            fix: 'run it again; when nobody ended it, look whether memory ran out: journalctl -k',
          };
    throw new ProgramError(argv, {
      exitCode,
      stderr,
      ...killed,
      why: `${argv.join(' ')} exited ${exitCode}${stderr.trim() === '' ? '' : `: ${stderr.trim()}`}`,
    });
  }
  return { stdout, stderr, exitCode };
}

/** Fails with the promise's error when it has failed; one that has no end yet is not waited for. */
async function settledOrEnded(later: Promise<unknown>): Promise<void> {
  await Promise.race([later, new Promise((resolve) => setImmediate(resolve))]);
}

function failureReason(argv: readonly string[], { error, stopped }: ProgramEnd): string {
  if (error?.code === 'ENOENT') return `${argv[0]} is not installed, or not in PATH`;
  if (stopped === 'timeout') return `${argv.join(' ')} took too long and was ended`;
  if (stopped === 'output') return `${argv.join(' ')} printed more than is kept`;
  if (stopped === 'abort') return `${argv.join(' ')} was interrupted`;
  return reasonOf(error);
}

/** What one of the three standard streams of a started program is: a pipe to us, nothing, ours, or a descriptor. */
export type StreamOf = 'pipe' | 'ignore' | 'inherit' | number;

/** How a program that is talked to while it runs is started. No time limit unless one is given. */
export interface StartOptions extends Omit<RunOptions, 'input' | 'accept' | 'maxOutputBytes'> {
  readonly stdin?: StreamOf;
  readonly stdout?: StreamOf;
  readonly stderr?: StreamOf;
  /** In a process group of its own, so that Ctrl-C on the terminal reaches only us. */
  readonly detached?: boolean;
}

/** A program that is running. */
export interface RunningProgram {
  readonly pid: number;
  /** Present when the stream is 'pipe' (the default for none of them). */
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  kill(signal?: NodeJS.Signals): void;
  /** Resolves when it has ended, though something that it started may still hold its pipes open; never rejects. */
  readonly exited: Promise<number>;
  /** Resolves when it has ended and its pipes are closed; never rejects. 128 + n when signal n ended it. */
  readonly ended: Promise<{ exitCode: number; timedOut: boolean }>;
}

/**
 * Starts a program and returns while it runs. Streams are 'ignore' unless said otherwise.
 * @throws ProgramError when it cannot be started.
 */
export function start(argv: readonly [string, ...string[]], options: StartOptions = {}): RunningProgram {
  const announceEnd = announceProgram(argv);
  const { further, ...rest } = common(options);
  const { stdin = 'ignore', stdout = 'ignore', stderr = 'ignore' } = options;
  const program = startProgram(argv, {
    ...rest,
    timeoutMs: options.timeoutMs ?? 0,
    detached: options.detached ?? false,
    stdio: [stdin, stdout, stderr, ...further],
  });
  const { child } = program;
  if (child?.pid === undefined) {
    throw new ProgramError(argv, { why: `${argv[0]} is not installed, or not in PATH`, notFound: true });
  }
  return {
    pid: child.pid,
    exited: program.exited.then((end) => exitCodeOf(end) ?? 127),
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    kill: (signal = 'SIGTERM') => program.kill(signal),
    ended: program.ended.then((end) => {
      const exitCode = exitCodeOf(end) ?? 127;
      announceEnd(exitCode);
      return { exitCode, timedOut: end.stopped === 'timeout' };
    }),
  };
}
