import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import type { Store } from '../store.ts';
import { changeClientState, readClientState } from './client-state.ts';

const hourMs = 3_600_000;
/** So many runs may be opened in an hour, and in a day, without anything being transferred in them. */
const mostPerHour = 30;
const mostPerDay = 120;

/** When runs were opened in which nothing was transferred; part of a client's state. Milliseconds since 1970. */
const IdleSchema = v.object({ idlePrepares: v.optional(v.array(v.number())) });

/**
 * Counts a run that was opened and left: each makes the server look at all of the store, and holds its lock meanwhile.
 * @param last the record of the run before this one
 * @throws BytebackError tooSoon when there were too many.
 */
export async function requireFewIdle(
  store: Store,
  client: ClientName,
  last: RunRecord | undefined,
  now: Date,
): Promise<void> {
  if (last?.state !== 'open' || last.transfers.length > 0) return;
  const state = v.safeParse(IdleSchema, await readClientState(store, client));
  const before = state.success ? (state.output.idlePrepares ?? []) : [];
  const nowMs = now.getTime();
  const recent = recentIdle([...before, Date.parse(last.preparedAt)], nowMs);
  await changeClientState(store, client, (known) => ({ ...known, idlePrepares: recent }));
  const next = nextAllowed(recent, nowMs);
  if (next === undefined) return;
  throw new BytebackError('tooSoon', {
    what: 'too many runs were opened in which nothing was sent',
    why: `the next is allowed at ${new Date(next).toISOString().slice(0, 19)}Z`,
    fix: 'see on the client why its runs end before they send: byteback-backup --verbose',
  });
}

/** Those of the last day, each once, oldest first; a time to come counts as now. Pure. */
export function recentIdle(times: readonly number[], nowMs: number): number[] {
  const kept = times.map((time) => Math.min(time, nowMs)).filter((time) => time > nowMs - 24 * hourMs);
  return [...new Set(kept)].toSorted((a, b) => a - b).slice(-mostPerDay);
}

/** When the next run may be opened, or undefined for now. Pure. */
export function nextAllowed(recent: readonly number[], nowMs: number): number | undefined {
  const inHour = recent.filter((time) => time > nowMs - hourMs);
  const byHour = inHour.length < mostPerHour ? 0 : (inHour.at(-mostPerHour) ?? nowMs) + hourMs;
  const byDay = recent.length < mostPerDay ? 0 : (recent.at(-mostPerDay) ?? nowMs) + 24 * hourMs;
  const next = Math.max(byHour, byDay);
  return next > nowMs ? next : undefined;
}
