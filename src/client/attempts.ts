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

/** Exit codes of rsync and ssh after which trying again can help: a connection that was refused, lost or silent. */
const passing: ReadonlySet<number> = new Set([10, 12, 30, 35, 255]);

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
    const waits = result.exit === 'unreachable' || (result.exit === 'locked' && result.step === 'later');
    return waits ? later(false) : { next: 'give up', exit: result.exit };
  }
  const { exitCode, outcome } = result;
  if (exitCode === 0 || exitCode === 24) return { next: 'go on', status: 'ok' };
  if (result.diskFull || outcome?.exit === 'storeFull') return { next: 'give up', exit: 'storeFull' };
  if (outcome?.exit === 'locked' || outcome?.exit === 'unreachable') return later(result.moved);
  if (outcome !== null && outcome !== undefined) return { next: 'give up', exit: outcome.exit };
  if (exitCode === 23) {
    if (state.triedUnreadAgain) return { next: 'go on', status: 'partial' };
    return { next: 'again', afterMs: 0, state: { ...state, triedUnreadAgain: true } };
  }
  if (passing.has(exitCode)) return later(result.moved);
  if (exitCode === 76) return { next: 'give up', exit: 'refused' };
  return { next: 'give up', exit: exitCode === 1 || exitCode === 127 ? 'usage' : 'bug' };
}
