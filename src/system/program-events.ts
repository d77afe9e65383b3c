import { channel } from 'node:diagnostics_channel';

/** A program that byteback started, or that ended. */
export interface ProgramEvent {
  readonly argv: readonly string[];
  /** Unset while it runs. */
  readonly ended?: {
    readonly durationMs: number;
    /** Undefined when it could not be started, or was ended for a reason of ours. */
    readonly exitCode: number | undefined;
  };
}

/** Node's own channel between those who do something and those who want to know: nothing is made up when nobody does. */
const programs = channel('byteback:programs');

/** Says that a program starts; the function that is returned says that it ended. */
export function announceProgram(argv: readonly string[]): (exitCode: number | undefined) => void {
  if (!programs.hasSubscribers) return () => undefined;
  const startedAt = performance.now();
  programs.publish({ argv } satisfies ProgramEvent);
  return (exitCode) => {
    programs.publish({ argv, ended: { durationMs: performance.now() - startedAt, exitCode } } satisfies ProgramEvent);
  };
}

/** Hears of every program until the function that is returned is called. */
export function hearOfPrograms(listener: (event: ProgramEvent) => void): () => void {
  const onMessage = (message: unknown) => listener(message as ProgramEvent);
  programs.subscribe(onMessage);
  return () => {
    programs.unsubscribe(onMessage);
  };
}
