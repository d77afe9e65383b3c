import { exitCodes } from '../errors.ts';

/** What a signal from outside does to the command that runs. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** The signal that came, if one did. */
  by(): NodeJS.Signals | undefined;
  /** The command has ended. */
  stop(): void;
}

/** How long a command may take to end cleanly (its hooks included) before it is ended as it stands. */
const graceMs = 60_000;

/** SIGINT and SIGTERM become an AbortSignal that use cases end on; the second one ends the process at once. */
export function stopOnSignals(): Interruption {
  const controller = new AbortController();
  let by: NodeJS.Signals | undefined;
  let timer: NodeJS.Timeout | undefined;
  const stopped = (name: NodeJS.Signals) => {
    if (by !== undefined) process.exit(exitCodes.interrupted);
    by = name;
    timer = setTimeout(() => process.exit(exitCodes.interrupted), graceMs);
    timer.unref();
    controller.abort();
  };
  process.on('SIGINT', stopped).on('SIGTERM', stopped);
  return {
    signal: controller.signal,
    by: () => by,
    stop: () => {
      clearTimeout(timer);
      process.off('SIGINT', stopped).off('SIGTERM', stopped);
    },
  };
}
