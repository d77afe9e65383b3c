import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/** How a program is started; the same for one that is waited for and one that is talked to. */
export interface ProgramOptions {
  readonly cwd?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly stdio: StdioOptions;
  /** Written to these of its descriptors, and then closed. */
  readonly feed: ReadonlyMap<number, string | Uint8Array>;
  /** 0 is no limit. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  readonly detached?: boolean;
}

/** How a program ended. */
export interface ProgramEnd {
  /** Null when a signal ended it, or when it could not be started. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started: ENOENT and the like. */
  readonly error: NodeJS.ErrnoException | undefined;
  /** Why we ended it. */
  readonly stopped: 'timeout' | 'abort' | 'output' | undefined;
}

/** A program that was started, or could not be: `ended` tells. */
export interface Program {
  readonly child: ChildProcess | undefined;
  /** SIGTERM now, SIGKILL when that does not help; said in the end as its reason. */
  stop(reason: 'timeout' | 'abort' | 'output'): void;
  /** Any other signal is sent once, and that is it. */
  kill(signal: NodeJS.Signals): void;
  /** It has ended, though something that it started may still hold its pipes open; never rejects. */
  readonly exited: Promise<ProgramEnd>;
  /** It has ended and its pipes are closed; never rejects. */
  readonly ended: Promise<ProgramEnd>;
}

/** Between the polite signal and the other one. */
const graceMs = 5000;

/**
 * Starts a program by Node's own means, which is all that byteback needs: a package for it took a third of the time of
 * every start. No shell, and the caller's environment with what is added to it.
 */
export function startProgram(argv: readonly [string, ...string[]], options: ProgramOptions): Program {
  let stopped: ProgramEnd['stopped'];
  let grace: NodeJS.Timeout | undefined;
  let limit: NodeJS.Timeout | undefined;
  let child: ChildProcess | undefined;
  let failed: NodeJS.ErrnoException | undefined;
  let hasExited = false;

  const kill = (signal: NodeJS.Signals) => {
    child?.kill(signal);
    if (signal === 'SIGTERM' && !hasExited) grace ??= setTimeout(() => child?.kill('SIGKILL'), graceMs);
  };
  const stop = (reason: 'timeout' | 'abort' | 'output') => {
    stopped ??= reason;
    kill('SIGTERM');
    if (hasExited) leavePipes();
  };
  /** What it started may hold its pipes for ever; whoever stopped it does not wait for that. */
  const leavePipes = () => {
    for (const stream of child?.stdio ?? []) stream?.destroy();
  };
  const onAbort = () => stop('abort');

  try {
    child = spawn(argv[0], argv.slice(1), {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: options.stdio,
      detached: options.detached ?? false,
      // Named one by one: what an account has besides is no option of ours.
      ...(options.account === undefined ? {} : { uid: options.account.uid, gid: options.account.gid }),
      shell: false,
    });
  } catch (error) {
    // Some failures are thrown, such as a list of arguments that is too long; others come as an event.
    failed = error as NodeJS.ErrnoException;
  }
  const started = child;
  if (started === undefined) {
    const end = Promise.resolve<ProgramEnd>({ code: null, signal: null, error: failed, stopped });
    return { child, stop, kill, exited: end, ended: end };
  }

  const exited = new Promise<void>((resolve) => {
    started.on('error', (error) => {
      // A signal that could not be sent is no failure to start.
      if (started.pid !== undefined) return;
      failed = error;
      resolve();
    });
    started.once('exit', () => {
      hasExited = true;
      running.delete(started);
      clearTimeout(grace);
      if (stopped !== undefined) leavePipes();
      resolve();
    });
  });
  const closed = new Promise<void>((resolve) => started.once('close', () => resolve()));
  const ending = (): ProgramEnd => ({
    // Node has a negative number here for what could not be started.
    code: failed === undefined ? started.exitCode : null,
    signal: started.signalCode,
    error: failed,
    stopped,
  });
  const ended = exited.then(async () => {
    if (started.pid !== undefined) await closed;
    clearTimeout(limit);
    options.signal?.removeEventListener('abort', onAbort);
    return ending();
  });
  // A pipe that breaks says no more than the end of the program does.
  for (const stream of started.stdio) stream?.on('error', () => undefined);

  if (started.pid !== undefined) {
    for (const [fd, bytes] of options.feed) (started.stdio[fd] as Writable | null | undefined)?.end(bytes);
    if (options.detached !== true) endWithUs(started);
    if (options.timeoutMs > 0) limit = setTimeout(() => stop('timeout'), options.timeoutMs);
    if (options.signal?.aborted) onAbort();
    else options.signal?.addEventListener('abort', onAbort, { once: true });
  }
  return { child, stop, kill, exited: exited.then(ending), ended };
}

/** What is running: nothing that byteback started goes on without it. */
const running = new Set<ChildProcess>();
let isWatching = false;

function endWithUs(child: ChildProcess): void {
  running.add(child);
  if (isWatching) return;
  isWatching = true;
  const endAll = () => {
    for (const one of running) one.kill('SIGTERM');
  };
  process.on('exit', endAll);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    const onSignal = () => {
      // Somebody else knows what to do, and ends us in his own time.
      if (process.listenerCount(signal) > 1) return;
      endAll();
      process.off(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}
