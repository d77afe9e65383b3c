import { setTimeout as sleepFor } from 'node:timers/promises';

/** Time as an argument, so that tests decide what time it is and no test waits. */
export interface Clock {
  now(): Date;
  /** Waits; rejects with an AbortError when the signal fires. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => new Date(),
  sleep: async (ms, signal) => {
    await sleepFor(ms, undefined, signal === undefined ? {} : { signal });
  },
};
