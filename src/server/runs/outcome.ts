import type { Failure } from '../../protocol/messages.ts';
import type { RunId } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';

/**
 * Why the server ended or refused the last transfer of a run, as far as the record knows; null when the server had no
 * reason of its own.
 */
export function outcomeOf(record: RunRecord | undefined, run: RunId): Failure | null {
  if (record === undefined || record.run !== run) {
    return {
      ok: false,
      exit: 'refused',
      what: `run ${run} is refused`,
      why: record === undefined ? 'no run was prepared' : 'a newer run has taken its place',
      fix: 'start a new backup',
    };
  }
  if (record.state === 'completed') {
    return {
      ok: false,
      exit: 'refused',
      what: `run ${run} is refused`,
      why: 'it is completed',
      fix: 'start a new backup',
    };
  }
  return record.transfers.at(-1)?.failure ?? null;
}
