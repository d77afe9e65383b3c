import type { ExitName } from '../errors.ts';

/** How one attempt at a step ended. */
export type AttemptResult =
  /** rsync ended by itself or was cut. */
  | {
      readonly kind: 'rsync';
      readonly exitCode: number;
      /** Whether any content went over. */
      readonly moved: boolean;
      /** The receiver said that its disk or quota is full. */
      readonly diskFull: boolean;
      /** What the server says of it when it is asked; null when it saw nothing, undefined when it could not be asked. */
      readonly outcome: { readonly exit: Exclude<ExitName, 'ok'> } | null | undefined;
    }
  /** ssh could not connect, or lost the connection, in a request. */
  | { readonly kind: 'connection'; readonly final: boolean }
  /** The server refused a request. */
  | { readonly kind: 'refusal'; readonly exit: Exclude<ExitName, 'ok'>; readonly step: 'prepare' | 'later' };

/** How many attempts failed in a row, and whether unreadable files were tried again. */
export interface AttemptState {
  readonly failedInRow: number;
  readonly triedUnreadAgain: boolean;
}

export const firstAttempt: AttemptState = { failedInRow: 0, triedUnreadAgain: false };

/** What to do next. */
export type NextStep =
  | { readonly next: 'go on'; readonly status: 'ok' | 'partial' }
  | { readonly next: 'again'; readonly afterMs: number; readonly state: AttemptState }
  | { readonly next: 'give up'; readonly exit: Exclude<ExitName, 'ok'> };

/**
 * Exit codes of rsync and ssh after which trying again can help: a connection that was refused, lost or silent, a process of
 * either side that ended before its time (14 to 16, 19 to 21), or that a signal ended (above 128, as a shell says it).
 */
const passing: ReadonlySet<number> = new Set([10, 12, 14, 15, 16, 19, 20, 21, 30, 35]);

/** True when whatever ended with this code may end otherwise the next time. */
export function isPassing(exitCode: number): boolean {
  return passing.has(exitCode) || exitCode > 128;
}

/** What is wrong on this machine or with what rsync was told, by rsync's exit code; 125 and 126 are a shell's. */
const localExits: Readonly<Record<number, Exclude<ExitName, 'ok'>>> = {
  1: 'usage',
  2: 'usage',
  3: 'usage',
  4: 'usage',
  5: 'refused',
  11: 'usage',
  13: 'usage',
  22: 'usage',
  25: 'refused',
  76: 'refused',
  124: 'usage',
  125: 'usage',
  126: 'usage',
  127: 'usage',
};

/**
 * Decides what follows an attempt. Pure: the waiting and the asking are the caller's.
 * The count of failed attempts starts anew when bytes moved, so that a slow line with many cuts gets through in the end.
 */
export function decideNext(
  result: AttemptResult,
  state: AttemptState,
  limits: { readonly retryNumber: number; readonly retryDelayMs: number },
): NextStep {
  const later = (moved: boolean): NextStep => {
    const failedInRow = (moved ? 0 : state.failedInRow) + 1;
    if (failedInRow > limits.retryNumber) return { next: 'give up', exit: 'unreachable' };
    return { next: 'again', afterMs: limits.retryDelayMs, state: { ...state, failedInRow } };
  };
  if (result.kind === 'connection') return result.final ? { next: 'give up', exit: 'refused' } : later(false);
  if (result.kind === 'refusal') {
    // In a run that is open already, a held lock is this run's own cut session, which the server has not yet noticed.
    const waits =
      result.exit === 'unreachable' ||
      result.exit === 'interrupted' ||
      (result.exit === 'locked' && result.step === 'later');
    return waits ? later(false) : { next: 'give up', exit: result.exit };
  }
  const { exitCode, outcome } = result;
  if (exitCode === 0 || exitCode === 24) return { next: 'go on', status: 'ok' };
  if (result.diskFull || outcome?.exit === 'storeFull') return { next: 'give up', exit: 'storeFull' };
  if (outcome?.exit === 'locked' || outcome?.exit === 'unreachable' || outcome?.exit === 'interrupted')
    return later(result.moved);
  if (outcome !== null && outcome !== undefined) return { next: 'give up', exit: outcome.exit };
  if (exitCode === 23) {
    if (state.triedUnreadAgain) return { next: 'go on', status: 'partial' };
    return { next: 'again', afterMs: 0, state: { ...state, triedUnreadAgain: true } };
  }
  if (isPassing(exitCode)) return later(result.moved);
  return { next: 'give up', exit: localExits[exitCode] ?? 'bug' };
}
