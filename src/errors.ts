/**
 * The exit codes of every byteback executable, by name.
 * This is the only table: the docs, the man pages and the protocol's replies are made from it.
 */
export const exitCodes = {
  ok: 0,
  bug: 1,
  usage: 2,
  partial: 3,
  unreachable: 10,
  locked: 11,
  refused: 12,
  storeFull: 13,
  notBtrfs: 14,
  tooSoon: 15,
  hookFailed: 16,
  storeFailed: 17,
  interrupted: 130,
} as const;

/** The name of an exit code. */
export type ExitName = keyof typeof exitCodes;

/** What each exit code means, in the words of the man pages. */
export const exitMeanings: Readonly<Record<ExitName, string>> = {
  ok: 'success',
  bug: 'a bug in byteback',
  usage: 'bad usage or configuration',
  partial: 'done, but some files could not be read or written, or a hook afterwards failed',
  unreachable: 'the server could not be reached',
  locked: 'another run is going on',
  refused: 'the server refused',
  storeFull: 'the store is full',
  notBtrfs: 'the store is not a btrfs file system',
  tooSoon: 'too many snapshots in the last day',
  hookFailed: 'a hook failed, so that nothing was sent',
  storeFailed: 'the disk of the store fails, or can only be read',
  interrupted: 'interrupted',
};

/** What a person needs to know of a failure: what happened, why, and what to do. */
export interface Explanation {
  /** One line, no full stop: "cannot reach byteback@vault". */
  readonly what: string;
  /** The cause, as far as it is known. */
  readonly why?: string;
  /** What to do next: a command to type where there is one. */
  readonly fix?: string;
}

/** A failure that is explained to the person and decides the exit code. Everything else thrown is a bug. */
export class BytebackError extends Error {
  readonly exit: Exclude<ExitName, 'ok'>;
  readonly explanation: Explanation;

  constructor(exit: Exclude<ExitName, 'ok'>, explanation: Explanation, options?: ErrorOptions) {
    super(explanation.what, options);
    this.name = 'BytebackError';
    this.exit = exit;
    this.explanation = explanation;
  }

  /** The number that the process ends with. */
  get exitCode(): number {
    return exitCodes[this.exit];
  }
}

/** The exit name of a number, or undefined when it is none of ours. */
export function exitNameOf(code: number): ExitName | undefined {
  return (Object.keys(exitCodes) as ExitName[]).find((name) => exitCodes[name] === code);
}

/** One-line reason of anything thrown, for the `why` of an explanation. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The exit of a failure by its name, as it travels in a line of text; undefined for `ok` and what is none. */
export function exitNameNamed(name: string | undefined): Exclude<ExitName, 'ok'> | undefined {
  return (Object.keys(exitCodes) as ExitName[])
    .filter((known): known is Exclude<ExitName, 'ok'> => known !== 'ok')
    .find((known) => known === name);
}
