import { type PullRequest, type PullResult, runPull } from '../../system/rsync-pull.ts';
import type { Session } from '../session.ts';
import type { AskedPull, EarlyPull } from './pull.ts';

/** A pull that waits for its list of names. */
export interface WaitingPull extends EarlyPull {
  readonly pull: AskedPull;
  /** False once it has gone on, or has ended by itself: the connection was lost, the server refused. */
  readonly waits: boolean;
  /** Ends it, when it has not gone on. */
  giveUp(): Promise<void>;
}

/**
 * Starts a pull from the snapshot that is probably meant, while the server is still asked which one is: rsync, ssh and the
 * server's side load meanwhile. Nothing is written, here or there, before the names are told.
 */
export function startPullAhead(pull: AskedPull, session: Session): WaitingPull {
  const { promise: request, resolve } = Promise.withResolvers<PullRequest | undefined>();
  const result: Promise<PullResult> = session
    .connect()
    .then(({ sessionArgv }) => runPull({ ...pull, sessionArgv }, { signal: session.signal, request }));
  let waits = true;
  const stop = () => {
    waits = false;
  };
  // How it ended is told to whoever goes on with it.
  result.then(stop, stop);
  return {
    pull,
    get waits() {
      return waits;
    },
    goOn(asked) {
      stop();
      resolve(asked);
      return result;
    },
    async giveUp() {
      resolve(undefined);
      await result.catch(() => undefined);
    },
  };
}
