import { isIP } from 'node:net';
import * as v from 'valibot';
import { durationForm, parseDuration, parsePercent } from './units.ts';

/** A duration in quotes; milliseconds. */
export const DurationMs = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const durationMs = parseDuration(dataset.value);
    if (durationMs !== undefined) return durationMs;
    addIssue({ message: `a duration is ${durationForm}` });
    return NEVER;
  }),
);

/** "5%", or the bare number 5; percent. */
export const Percent = v.pipe(
  v.union([v.string(), v.number()]),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const percent = parsePercent(typeof dataset.value === 'number' ? `${dataset.value}%` : dataset.value);
    if (percent !== undefined) return percent;
    addIssue({ message: 'a percentage is a number from 0 to 100, such as "5%"' });
    return NEVER;
  }),
);

/** A whole number within limits. */
export function wholeNumber(least: number, most: number) {
  const message = `it must be a whole number from ${least} to ${most}`;
  return v.pipe(v.number(), v.integer(message), v.minValue(least, message), v.maxValue(most, message));
}

/** An absolute path without `.` and `..`; doubled and trailing slashes are dropped. */
export const CleanPath = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const path = cleanPath(dataset.value);
    if (path !== undefined) return path;
    addIssue({ message: 'a path here begins with a slash and has no "." or ".." in it' });
    return NEVER;
  }),
);

/** The plain form of an absolute path, or undefined when it is none. */
export function cleanPath(text: string): string | undefined {
  if (!text.startsWith('/') || text.includes('\0')) return undefined;
  const names = text.split('/').filter((name) => name !== '');
  return names.some((name) => name === '.' || name === '..') ? undefined : `/${names.join('/')}`;
}

/** An address, or a network such as 192.0.2.0/24. */
export const Network = v.pipe(
  v.string(),
  v.check((text) => {
    const [address = '', prefix, ...rest] = text.split('/');
    const family = isIP(address);
    if (family === 0 || rest.length > 0) return false;
    return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
  }, 'it must be an IP address, or a network such as "192.0.2.0/24"'),
);

/** One value or a list of them; always a list. */
export function oneOrMore<const Schema extends v.GenericSchema<string, string>>(schema: Schema) {
  return v.pipe(
    v.union([v.string(), v.array(v.string())]),
    v.transform((value) => (typeof value === 'string' ? [value] : value)),
    v.array(schema),
  );
}

/** Text of one line without control characters. */
export const LineOfText = v.pipe(v.string(), v.regex(/^[^\p{Cc}]+$/u, 'it must be one line of text'));

/** An address to send mail to: `ops@example.net`, or the name of a user of this machine. Nothing that a mail program could take for more. */
export const MailAddress = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9_][^\s\p{C}@<>()[\]\\,;:"]{0,63}(?:@[^\s\p{C}@<>()\\,;"]{1,253})?$/u,
    'it must be a mail address',
  ),
);

/** An address on the web that is called when something happens. */
export const WebAddress = v.pipe(
  v.string(),
  v.check((text) => isUrlOf(text, ['http:', 'https:']), 'it must be an address such as "https://example.net/hook"'),
);

/** A mail server: `smtp://host:25`, `smtps://user@host:465`. */
export const SmtpAddress = v.pipe(
  v.string(),
  v.check(
    (text) => isUrlOf(text, ['smtp:', 'smtps:']),
    'it must be the address of a mail server such as "smtps://user@mail.example.net:465"',
  ),
);

function isUrlOf(text: string, protocols: readonly string[]): boolean {
  if (/[\s\p{C}]/u.test(text) || !URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocols.includes(protocol) && hostname !== '';
}
