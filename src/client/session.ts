import { BytebackError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { openSsh, type SshConnection, SshError, type SshTarget } from '../system/ssh.ts';
import { type AttemptResult, type AttemptState, decideNext, firstAttempt } from './attempts.ts';
import { ServerFailure } from './remote.ts';

/** How often and how soon a step is tried again. */
export interface RetryLimits {
  readonly retryNumber: number;
  readonly retryDelayMs: number;
}

/** The conversation of one run with its server: it connects when something is to be said, and again when it was cut. */
export interface Session {
  readonly limits: RetryLimits;
  readonly signal: AbortSignal;
  /** Attempts after the first, of all steps. */
  readonly retries: number;
  /** The connection, made when there is none; it may be asked for ahead of its use, by several at once. */
  connect(): Promise<SshConnection>;
  /** Waits before another attempt, saying why. */
  waitFor(afterMs: number, why: string, state: AttemptState): Promise<void>;
  /** Does a step, again and again as `attempts.ts` decides, and returns its result. */
  persist<T>(step: 'prepare' | 'later', work: (connection: SshConnection) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function openSession(
  target: SshTarget,
  deps: {
    limits: RetryLimits;
    clock: Clock;
    log: Log;
    signal: AbortSignal;
    directory?: string;
    /** Instead of ssh: how root on the server itself talks to it. */
    open?: () => Promise<SshConnection>;
  },
): Session {
  const { limits, clock, log, signal } = deps;
  let connection: SshConnection | undefined;
  const closing = new AbortController();
  let connecting: Promise<SshConnection> | undefined;
  let retries = 0;
  const connect = async () => {
    signal.throwIfAborted();
    if (connection?.alive) return connection;
    await connection?.close();
    connection = undefined;
    const directory = deps.directory === undefined ? {} : { directory: deps.directory };
    connection = await (deps.open === undefined
      ? openSsh(target, { signal: AbortSignal.any([signal, closing.signal]), ...directory })
      : deps.open());
    return connection;
  };
  const session: Session = {
    limits,
    signal,
    get retries() {
      return retries;
    },
    connect() {
      connecting ??= connect().finally(() => {
        connecting = undefined;
      });
      return connecting;
    },
    async waitFor(afterMs, why, state) {
      retries += 1;
      if (afterMs === 0) return;
      log.info(
        `${why}; next attempt in ${Math.round(afterMs / 1000)} s (${state.failedInRow} of ${limits.retryNumber})`,
      );
      log.progress({ label: 'waiting', doneBytes: 0, remainingMs: afterMs, detail: why });
      // What is left of the old connection would be in the way of the next.
      await connection?.close();
      connection = undefined;
      await clock.sleep(afterMs, signal);
      log.progress(undefined);
    },
    async persist(step, work) {
      for (let state = firstAttempt; ; ) {
        try {
          return await work(await session.connect());
        } catch (error) {
          signal.throwIfAborted();
          // Who closed it waits for nothing more.
          if (closing.signal.aborted) throw error;
          const result = attemptResultOf(error, step);
          if (result === undefined) throw error;
          const next = decideNext(result, state, limits);
          if (next.next !== 'again') throw error;
          await session.waitFor(next.afterMs, whyOf(error), next.state);
          state = next.state;
        }
      }
    },
    async close() {
      // One that is still being made is given up.
      closing.abort();
      await connecting?.catch(() => undefined);
      await connection?.close();
      connection = undefined;
    },
  };
  return session;
}

/** What a thrown error means for the next attempt; undefined for what trying again cannot help. */
export function attemptResultOf(error: unknown, step: 'prepare' | 'later'): AttemptResult | undefined {
  if (error instanceof SshError) return { kind: 'connection', final: error.kind !== 'unreachable' };
  if (error instanceof ServerFailure) return { kind: 'refusal', exit: error.exit, step };
  return undefined;
}

export function whyOf(error: unknown): string {
  return error instanceof BytebackError
    ? [error.explanation.what, error.explanation.why].filter(Boolean).join(': ')
    : String(error);
}
