import * as v from 'valibot';

/** What counting needs to know of an event, and keeps of it. */
const Counted = v.looseObject({
  at: v.string(),
  kind: v.string(),
  what: v.string(),
  client: v.optional(v.string()),
  check: v.optional(v.string()),
  count: v.optional(v.number()),
});
type Countable = v.InferOutput<typeof Counted>;

/** By kind, client and check: how many came since when, and how many of them have no line. */
export const CountersSchema = v.record(
  v.string(),
  v.object({
    since: v.string(),
    /** Milliseconds: how long this counting lasts. */
    spanMs: v.number(),
    written: v.number(),
    more: v.number(),
    last: Counted,
  }),
);
export type Counters = v.InferOutput<typeof CountersSchema>;

/** Of alike events so many get a line of their own within one span; the rest is counted, and told when the span ends. */
export const linesPerSpan = 4;
const shortestSpanMs = 60_000;
/** Who goes on and on is told of more and more seldom. */
const longestSpanMs = 3_600_000;
/** Kinds of events counted at once; more (a thousand clients attacked together) share one number. */
const maxKeys = 1000;

function keyOf(counters: Counters, { kind, client = '', check = '' }: Countable): string {
  const key = `${kind} ${client} ${check}`;
  return Object.hasOwn(counters, key) || Object.keys(counters).length < maxKeys ? key : 'others';
}

/** Takes one event in: which lines are to be written, and the counters after it. */
export function count<T extends Countable>(before: Counters, event: T): { write: T[]; counters: Counters } {
  const settled = due<T>(before, new Date(event.at));
  const { counters } = settled;
  const key = keyOf(counters, event);
  const counter = counters[key];
  if (counter === undefined) {
    const fresh = { since: event.at, spanMs: shortestSpanMs, written: 1, more: 0, last: event };
    return { write: [...settled.write, event], counters: { ...counters, [key]: fresh } };
  }
  if (counter.written < linesPerSpan) {
    const next = { ...counter, written: counter.written + 1, last: event };
    return { write: [...settled.write, event], counters: { ...counters, [key]: next } };
  }
  return {
    write: settled.write,
    counters: { ...counters, [key]: { ...counter, more: counter.more + (event.count ?? 1), last: event } },
  };
}

/**
 * Ends the spans that are over at a time (undefined: all of them): a line with the number for each that counted more than
 * it wrote. The next span of those is twice as long; one that passed quietly is forgotten.
 */
export function due<T extends Countable>(before: Counters, now: Date | undefined): { write: T[]; counters: Counters } {
  const write: T[] = [];
  const counters: Counters = {};
  for (const [key, counter] of Object.entries(before)) {
    const age = now === undefined ? Number.POSITIVE_INFINITY : now.getTime() - Date.parse(counter.since);
    // A clock that was set back ends the span, too.
    if (age >= 0 && age < counter.spanMs) {
      counters[key] = counter;
      continue;
    }
    if (counter.more === 0) continue;
    // A whole event, as count() got it; it bears the time of being told, so that whoever asks "since when" misses none.
    const at = now?.toISOString() ?? counter.last.at;
    write.push({ ...counter.last, at, count: counter.more } as unknown as T);
    const spanMs = Math.min(longestSpanMs, counter.spanMs * 2);
    counters[key] = { ...counter, since: (now ?? new Date(counter.since)).toISOString(), spanMs, written: 0, more: 0 };
  }
  return { write, counters };
}
