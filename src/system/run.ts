import type { Readable, Writable } from 'node:stream';
import { execa, type Options } from 'execa';
import { BytebackError, type ExitName, reasonOf } from '../errors.ts';
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
    detail: { exitCode?: number; stderr?: string; why: string; notFound?: boolean; exit?: Exclude<ExitName, 'ok'> },
  ) {
    super(detail.exit ?? 'bug', { what: `${argv[0]} failed`, why: detail.why });
    this.name = 'ProgramError';
    this.argv = argv;
    this.exitCodeOfProgram = detail.exitCode;
    this.stderr = detail.stderr ?? '';
    this.notFound = detail.notFound ?? false;
  }
}

const signalNumbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

/** The options that every start of a program shares. Never a shell, never the inherited locale. */
export function execaOptions(options: RunOptions) {
  return {
    shell: false,
    reject: false,
    encoding: 'buffer',
    stripFinalNewline: false,
    cleanup: true,
    forceKillAfterDelay: 5000,
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: options.maxOutputBytes ?? 64 * 1024 * 1024,
    env: { LC_ALL: 'C', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.account === undefined ? {} : { uid: options.account.uid, gid: options.account.gid }),
  } as const satisfies Options;
}

/**
 * Runs a program to its end and returns what it printed. The only place besides `start` where byteback starts one.
 * @throws ProgramError when the program is missing, times out, is killed, or ends with a code that is not accepted.
 */
export async function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...args] = argv;
  const announceEnd = announceProgram(argv);
  const later = options.input instanceof Promise ? options.input : undefined;
  const running = execa(program, args, {
    ...execaOptions(options),
    stdio: [
      options.input === undefined ? 'ignore' : 'pipe',
      'pipe',
      'pipe',
      // execa takes any descriptor; its types stop at 9.
      ...((options.passFds ?? []) as 3[]),
      ...(options.feedFds ?? []),
    ],
    ...(options.input === undefined || options.input instanceof Promise ? {} : { input: options.input }),
  });
  // A program may end, or close its input, before it has all of it.
  running.stdin?.on('error', () => undefined);
  later?.then(
    (input) => running.stdin?.end(input),
    () => running.stdin?.end(),
  );
  const result = await running;
  const stdout = Buffer.from((result.stdout as unknown as Uint8Array | undefined) ?? []);
  const stderr = Buffer.from((result.stderr as unknown as Uint8Array | undefined) ?? []).toString('utf8');
  const exitCode =
    result.exitCode ?? (result.signal === undefined ? undefined : 128 + (signalNumbers[result.signal] ?? 0));
  announceEnd(exitCode);
  if (later !== undefined) await settledOrEnded(later);
  if (exitCode === undefined || result.timedOut || result.isMaxBuffer || result.isCanceled) {
    throw new ProgramError(argv, {
      stderr,
      why: failureReason(argv, result, stderr),
      notFound: result.code === 'ENOENT',
    });
  }
  if (!(options.accept ?? [0]).includes(exitCode)) {
    throw new ProgramError(argv, {
      exitCode,
      stderr,
      why: `${argv.join(' ')} exited ${exitCode}${stderr.trim() === '' ? '' : `: ${stderr.trim()}`}`,
    });
  }
  return { stdout, stderr, exitCode };
}

/** Fails with the promise's error when it has failed; one that has no end yet is not waited for. */
async function settledOrEnded(later: Promise<unknown>): Promise<void> {
  await Promise.race([later, new Promise((resolve) => setImmediate(resolve))]);
}

function failureReason(
  argv: readonly string[],
  result: {
    code?: string | undefined;
    timedOut: boolean;
    isMaxBuffer: boolean;
    isCanceled: boolean;
    originalMessage?: string | undefined;
  },
  stderr: string,
): string {
  if (result.code === 'ENOENT') return `${argv[0]} is not installed, or not in PATH`;
  if (result.timedOut) return `${argv.join(' ')} took too long and was ended`;
  if (result.isMaxBuffer) return `${argv.join(' ')} printed more than is kept`;
  if (result.isCanceled) return `${argv.join(' ')} was interrupted`;
  return reasonOf(result.originalMessage ?? stderr);
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
  const [program, ...args] = argv;
  const announceEnd = announceProgram(argv);
  const subprocess = execa(program, args, {
    ...execaOptions({ timeoutMs: 0, ...options }),
    buffer: false,
    detached: options.detached ?? false,
    stdio: [
      (options.stdin ?? 'ignore') as 'pipe',
      (options.stdout ?? 'ignore') as 'pipe',
      (options.stderr ?? 'ignore') as 'pipe',
      ...((options.passFds ?? []) as 3[]),
      ...(options.feedFds ?? []),
    ],
  });
  if (subprocess.pid === undefined) {
    throw new ProgramError(argv, { why: `${program} is not installed, or not in PATH`, notFound: true });
  }
  const exited = new Promise<number>((resolve) => {
    subprocess.nodeChildProcess.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signalNumbers[signal ?? ''] ?? 0)),
    );
  });
  return {
    pid: subprocess.pid,
    exited,
    stdin: subprocess.stdin,
    stdout: subprocess.stdout,
    stderr: subprocess.stderr,
    kill: (signal = 'SIGTERM') => {
      subprocess.kill(signal);
    },
    ended: subprocess.then((result) => {
      const exitCode = result.exitCode ?? 128 + (signalNumbers[result.signal ?? ''] ?? 0);
      announceEnd(exitCode);
      return { exitCode, timedOut: result.timedOut };
    }),
  };
}
