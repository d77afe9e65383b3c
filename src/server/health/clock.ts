import { judgeClock } from '../../retention/clock-sanity.ts';
import type { Ledger } from '../ledger.ts';
import type { FactValues } from './facts.ts';

/** Clocks of virtual machines are set right by some minutes now and then. */
export const futureToleranceMs = 3_600_000;

/** Whether a time is one to come, as a name that a wrong clock gave. */
export function isFuture(timeMs: number, nowMs: number): boolean {
  return timeMs > nowMs + futureToleranceMs;
}

/** Whether pruning goes by the clock, and which snapshots bear a time to come. Pure. */
export function lookAtClock(
  snapshots: ReadonlyMap<string, readonly { readonly name: string; readonly time: number }[]>,
  ledger: Ledger,
  nowMs: number,
): FactValues['clock'] {
  const times = [...snapshots.values()].flatMap((its) => its.map(({ time }) => time));
  const newest = times.length === 0 ? undefined : times.reduce((a, b) => Math.max(a, b));
  const { lastSeen, suspectSince } = ledger.clock;
  const memory = {
    ...(lastSeen === undefined ? {} : { lastSeen }),
    ...(suspectSince === undefined ? {} : { suspectSince }),
  };
  const future = [...snapshots].map(([client, its]) => ({
    client,
    snapshots: its.filter(({ time }) => isFuture(time, nowMs)).map(({ name }) => name),
  }));
  return {
    refusal: judgeClock(nowMs, newest, memory).why ?? null,
    future: future.filter((one) => one.snapshots.length > 0),
  };
}
