import * as v from 'valibot';
import { alertMail, type CountedEvents, countEvents, digestMail, type MailContext, type ToldEvent } from './mail.ts';
import type { MailContent } from './mail-document.ts';

/** Mails about events that may follow each other at once; what comes after them waits for a digest. */
const mailsAtOnce = 4;
/** The first digest of a flood comes so long after its first mail, the next ones after an hour each. */
const firstDigestMs = 15 * 60_000;
const nextDigestMs = 60 * 60_000;
/** Alike events make one line of a digest; of more kinds than this the rest shares one. */
const mostGroups = 200;

const EventSchema = v.object({
  at: v.string(),
  kind: v.string(),
  client: v.optional(v.string()),
  what: v.string(),
  why: v.optional(v.string()),
  check: v.optional(v.string()),
  fix: v.optional(v.string()),
  steps: v.optional(
    v.array(
      v.object({
        step: v.string(),
        name: v.string(),
        exitCode: v.nullable(v.number()),
        timedOut: v.boolean(),
        output: v.string(),
      }),
    ),
  ),
  count: v.optional(v.number()),
});

/** What is remembered of the mails to one reader, between two rounds. */
export const FloodSchema = v.object({
  /** When the mails began that are counted. */
  since: v.string(),
  mails: v.number(),
  digestAt: v.string(),
  /** Events told or waiting since then. */
  total: v.number(),
  waiting: v.record(v.string(), v.object({ count: v.number(), first: EventSchema, lastAt: v.string() })),
});
export type Flood = v.InferOutput<typeof FloodSchema>;

/** What to send now, and what to remember. */
export interface Decision {
  readonly mails: readonly MailContent[];
  readonly flood: Flood | undefined;
}

/**
 * Decides what one reader is told of some events now. The first few mails go at once; then alike events are counted and told in
 * one digest, so that a thousand refusals in a minute make at most five mails, the last with the count. Pure.
 */
export function decideAlerts(
  before: Flood | undefined,
  events: readonly ToldEvent[],
  now: Date,
  context: MailContext,
): Decision {
  const mails: MailContent[] = [];
  const nowText = now.toISOString();
  let flood = before;
  // A clock that was set back by more than a flood lasts must not silence anything.
  if (flood !== undefined && Date.parse(flood.since) > now.getTime() + nextDigestMs) flood = undefined;
  if (flood !== undefined && flood.digestAt <= nowText) {
    const groups = Object.values(flood.waiting) as CountedEvents[];
    if (groups.length === 0) flood = undefined;
    else if (events.length === 0) {
      mails.push(digestMail(groups, { total: flood.total, since: flood.since, until: nowText }, context));
      flood = nextFlood(nowText, now);
    } else {
      const all = withEvents(flood, events);
      const every = Object.values(all.waiting) as CountedEvents[];
      mails.push(digestMail(every, { total: all.total, since: all.since, until: nowText }, context));
      return { mails, flood: nextFlood(nowText, now) };
    }
  }
  if (events.length === 0) return { mails, flood };
  if (flood === undefined || flood.mails < mailsAtOnce) {
    mails.push(alertMail(events, context));
    const begun = flood ?? {
      since: events[0]?.at ?? nowText,
      mails: 0,
      digestAt: new Date(now.getTime() + firstDigestMs).toISOString(),
      total: 0,
      waiting: {},
    };
    return { mails, flood: { ...begun, mails: begun.mails + 1, total: begun.total + countEvents(events) } };
  }
  return { mails, flood: withEvents(flood, events) };
}

/** After a digest: whoever goes on is told hourly, and an hour without anything ends the flood. */
function nextFlood(since: string, now: Date): Flood {
  const digestAt = new Date(now.getTime() + nextDigestMs).toISOString();
  return { since, mails: mailsAtOnce, digestAt, total: 0, waiting: {} };
}

function withEvents(flood: Flood, events: readonly ToldEvent[]): Flood {
  const waiting = { ...flood.waiting };
  for (const event of events) {
    const { kind, client = '', check = '', count = 1, at } = event;
    const wanted = `${kind} ${client} ${check}`;
    const key = Object.hasOwn(waiting, wanted) || Object.keys(waiting).length < mostGroups ? wanted : 'others';
    const known = Object.hasOwn(waiting, key) ? waiting[key] : undefined;
    waiting[key] =
      known === undefined ? { count, first: event, lastAt: at } : { ...known, count: known.count + count, lastAt: at };
  }
  return { ...flood, waiting, total: flood.total + countEvents(events) };
}
