import { endOfDay } from 'date-fns/endOfDay';
import { isValid } from 'date-fns/isValid';
import { parse } from 'date-fns/parse';
import { sub } from 'date-fns/sub';
import { BytebackError } from '../../errors.ts';
import { snapshotTime } from '../../protocol/names.ts';

/** How a moment may be written, for help texts and errors. */
export const momentForm = '"3 days ago", yesterday, 14:00, 2026-11-01, "2026-11-01 14:00", or UTC as 2026-11-01T14:00Z';

const units = {
  second: 'seconds',
  minute: 'minutes',
  hour: 'hours',
  day: 'days',
  week: 'weeks',
  month: 'months',
  year: 'years',
} as const;

/** Dates with a time of day, in the person's own time zone. */
const withTime = ['yyyy-MM-dd HH:mm:ss', 'yyyy-MM-dd HH:mm', "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd'T'HH:mm"];
/** Times of day: the last time that it was so. */
const timesOnly = ['HH:mm:ss', 'HH:mm'];

/**
 * The moment that a person means, in local time unless it ends in Z. A day without a time means its end, so that
 * what was backed up on that day counts.
 * @throws BytebackError (usage) for anything else, and for a moment that is still to come.
 */
export function parseMoment(text: string, now: Date): Date {
  const moment = read(text.trim(), now);
  if (moment === undefined || !isValid(moment)) {
    throw new BytebackError('usage', { what: `not a time: ${JSON.stringify(text)}`, fix: `write it as ${momentForm}` });
  }
  return moment;
}

function read(text: string, now: Date): Date | undefined {
  const snapshot = snapshotTime(text);
  if (snapshot !== undefined) return snapshot;
  if (text === 'now') return now;
  if (text === 'today') return endOfDay(now);
  if (text === 'yesterday') return endOfDay(sub(now, { days: 1 }));
  const ago = /^(an?|\d{1,6})\s+(second|minute|hour|day|week|month|year)s?\s+ago$/.exec(text);
  if (ago !== null) {
    const unit = units[ago[2] as keyof typeof units];
    return sub(now, { [unit]: /^an?$/.test(ago[1] ?? '') ? 1 : Number(ago[1]) });
  }
  if (/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?Z$/.test(text)) return utc(text.replace(' ', 'T'));
  for (const form of withTime) {
    const moment = parse(text, form, now);
    if (isValid(moment)) return moment;
  }
  const day = parse(text, 'yyyy-MM-dd', now);
  if (/^\d{4}-\d{2}-\d{2}$/.test(text) && isValid(day)) return endOfDay(day);
  for (const form of timesOnly) {
    const moment = parse(text, form, now);
    if (isValid(moment)) return moment > now ? sub(moment, { days: 1 }) : moment;
  }
  return undefined;
}

/** Date takes 31 April for 1 May. */
function utc(text: string): Date | undefined {
  const moment = new Date(text);
  return isValid(moment) && moment.toISOString().startsWith(text.slice(0, 16)) ? moment : undefined;
}
