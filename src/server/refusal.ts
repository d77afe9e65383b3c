import { BytebackError, type Explanation } from '../errors.ts';

/**
 * What the server asks before it does anything for somebody, in this order; the first that fails refuses. `run` and
 * `machine` can only be told when the command is at work: does the run belong to this client, is it the same machine.
 */
export const checks = ['key', 'from', 'window', 'command', 'allow', 'run', 'machine', 'snapshot', 'hook'] as const;
export type Check = (typeof checks)[number];

/** A refusal that the admin hears of as an event, with the check that failed. */
export class Refusal extends BytebackError {
  readonly check: Check;
  /** False: whoever asked hears nothing but "refused", so that a stolen key learns nothing of the rules. */
  readonly told: boolean;

  constructor(check: Check, explanation: Explanation, { told = true }: { told?: boolean } = {}) {
    super('refused', explanation);
    this.name = 'Refusal';
    this.check = check;
    this.told = told;
  }
}
