import { expect } from 'vitest';
import type { Outcome } from './command.ts';

// A failed expectation shows all that the program said: it may have happened on a machine that is gone.
expect.extend({
  toExitWith(outcome: Outcome, exitCode: number) {
    return {
      pass: outcome.exitCode === exitCode,
      message: () =>
        `expected exit code ${exitCode}, and it was ${outcome.exitCode}\nstdout:\n${outcome.stdout}\nstderr:\n${outcome.stderr}`,
    };
  },
});

declare module 'vitest' {
  interface Matchers {
    /** That a program ended with this code. */
    toExitWith(exitCode: number): void;
  }
}
