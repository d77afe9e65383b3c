/** How far a long step is. */
export interface Progress {
  /** What is going on, one or two words: "sending". */
  readonly label: string;
  readonly doneBytes: number;
  /** Undefined while it is not known. */
  readonly totalBytes?: number;
  readonly bytesPerSecond?: number;
  readonly remainingMs?: number;
  /** Anything short to add: "1,204 of 88,010 files". */
  readonly detail?: string;
}

/** Where use cases say what they do. The terminal's form of it is in `output/`; use cases know only this. */
export interface Log {
  /** One step that is about to be done, or was done; shown with --verbose, and always by the set-up commands. */
  step(text: string): void;
  /** Detail below a step; shown with --verbose. */
  info(text: string): void;
  /** Something the person should know though it does not fail the command; always shown. */
  warn(text: string): void;
  /** Argument lists, durations, exits: shown with --debug. Never a key. */
  debug(text: string): void;
  /** Replaces the progress line; nothing when standard error is no terminal. */
  progress(progress: Progress | undefined): void;
  /** True when somebody sees it: only then is it worth the time that asking for it takes. */
  readonly showsProgress?: boolean;
  /** What all that follows is about: said on every line of a journal. A log that nobody looks through has no need of it. */
  about?(subject: { readonly run?: string | undefined; readonly client?: string | undefined }): void;
}

const nothing = (): void => undefined;
export const silentLog: Log = { step: nothing, info: nothing, warn: nothing, debug: nothing, progress: nothing };
