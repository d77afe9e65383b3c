import type { Failure } from '../../protocol/messages.ts';
import type { RunId } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { failureOf } from '../helper-request.ts';
import { notOpen, whyNotOpen } from './record.ts';

/**
 * Why the server ended or refused the last transfer of a run, as far as the record knows; null when the server had no
 * reason of its own.
 */
export function outcomeOf(record: RunRecord | undefined, run: RunId): Failure | null {
  const why = whyNotOpen(record, run);
  return why === undefined ? (record?.transfers.at(-1)?.failure ?? null) : failureOf(notOpen(run, why));
}
