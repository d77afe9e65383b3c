const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Clocks of virtual machines are set right by some minutes now and then. */
const toleratedMs = hourMs;
/** A store whose server was away for longer than this may have been away, or its clock may have jumped. */
const longestSilenceMs = 30 * dayMs;
/** A jump that still stands after this long, run after run, is taken for the truth. */
const believedAfterMs = dayMs;

/** What is remembered of the clock between two prunes. */
export interface ClockMemory {
  /** The last time that was believed. */
  readonly lastSeen?: number;
  /** The first time of a jump that is not believed yet. */
  readonly suspectSince?: number;
}

/** What to think of the clock now. `why` is set when nothing may be pruned. */
export interface ClockVerdict {
  readonly why?: string;
  readonly memory: ClockMemory;
}

/**
 * Whether the server's clock can be believed: the importance of snapshots hangs on it, so a wrong one would let the
 * wrong ones go. A long silence is believed after a day in which time went on as it should.
 */
export function judgeClock(now: number, newestSnapshot: number | undefined, memory: ClockMemory): ClockVerdict {
  const date = (time: number) => `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  if (newestSnapshot !== undefined && newestSnapshot > now + toleratedMs) {
    return { why: `the clock says ${date(now)}, but the newest snapshot is of ${date(newestSnapshot)}`, memory };
  }
  const last = Math.max(memory.lastSeen ?? Number.NEGATIVE_INFINITY, newestSnapshot ?? Number.NEGATIVE_INFINITY);
  if (last > now + toleratedMs) {
    return { why: `the clock says ${date(now)}, but the last prune was at ${date(last)}`, memory };
  }
  // The newest snapshot may itself have been taken after the jump: only what was believed before counts.
  const since = memory.lastSeen ?? newestSnapshot;
  if (since === undefined || now - since <= longestSilenceMs) return { memory: { lastSeen: Math.max(now, last) } };
  const suspectSince = memory.suspectSince === undefined || memory.suspectSince > now ? now : memory.suspectSince;
  if (now - suspectSince >= believedAfterMs && now - suspectSince <= longestSilenceMs)
    return { memory: { lastSeen: now } };
  return {
    why: `the clock says ${date(now)}, ${Math.round((now - since) / dayMs)} days after the last prune; it is believed when it still says so tomorrow`,
    memory: { ...memory, suspectSince: now - suspectSince > longestSilenceMs ? now : suspectSince },
  };
}
