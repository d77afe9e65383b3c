import * as v from 'valibot';

/** A registered client's name: lower-case DNS labels, at most 128 characters, never a reserved word. */
export type ClientName = string & { readonly __brand: 'ClientName' };
/** A snapshot's name: its UTC time, `2026-11-20T030000Z`; no colon, because rsync and scp read one as a host. */
export type SnapshotName = string & { readonly __brand: 'SnapshotName' };
/** The id of one run: 32 lower-case hexadecimal digits, given out by the server at prepare. */
export type RunId = string & { readonly __brand: 'RunId' };

/** Words that mean something else on the server's disk or on the command line, so that no client may bear them. */
const reservedNames: ReadonlySet<string> = new Set([
  'current',
  'snapshots',
  'clients',
  'latest',
  'fs',
  'localhost',
  'all',
  'default',
  'admin',
  'invite',
  'byteback',
  'lost-found',
]);

const dnsLabel = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const clientNamePattern = new RegExp(`^${dnsLabel}(?:\\.${dnsLabel})*$`);
const allDigitsPattern = /^[0-9.]+$/;

/** Why a text cannot name a client, or undefined when it can. */
export function whyNotClientName(text: string): string | undefined {
  if (text.length === 0) return 'it is empty';
  if (text.length > 128) return 'it is longer than 128 characters';
  if (!clientNamePattern.test(text)) {
    return 'it is no lower-case DNS name (letters a-z, digits, inner hyphens, labels of at most 63 characters joined by dots)';
  }
  if (allDigitsPattern.test(text)) return 'it has only digits and dots, as an address has';
  if (reservedNames.has(text)) return 'it is a reserved word';
  return undefined;
}

export const ClientNameSchema = v.pipe(
  v.string(),
  v.check(
    (text) => whyNotClientName(text) === undefined,
    (issue) => `not a client name: ${whyNotClientName(String(issue.input))}`,
  ),
  v.transform((text) => text as ClientName),
);

const snapshotNamePattern = /^(\d{4})-(\d{2})-(\d{2})T(\d{2})(\d{2})(\d{2})Z$/;

/** The time that a snapshot's name says, or undefined when it is no snapshot's name (30 February included). */
export function snapshotTime(name: string): Date | undefined {
  const parts = snapshotNamePattern.exec(name);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second] = parts;
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time.getTime()) || snapshotNameAt(time) !== name ? undefined : time;
}

/** The name of a snapshot taken at a time; whole seconds, UTC. */
export function snapshotNameAt(time: Date): SnapshotName {
  return `${time.toISOString().slice(0, 19).replaceAll(':', '')}Z` as SnapshotName;
}

export const SnapshotNameSchema = v.pipe(
  v.string(),
  v.check((text) => snapshotTime(text) !== undefined, 'not a snapshot name such as 2026-11-20T030000Z'),
  v.transform((text) => text as SnapshotName),
);

export const RunIdSchema = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{32}$/, 'not a run id'),
  v.transform((text) => text as RunId),
);

/** A typed value out of a text, or undefined: for places where the caller words the error. */
export function parseClientName(text: string): ClientName | undefined {
  return whyNotClientName(text) === undefined ? (text as ClientName) : undefined;
}
export function parseSnapshotName(text: string): SnapshotName | undefined {
  return snapshotTime(text) === undefined ? undefined : (text as SnapshotName);
}
export function parseRunId(text: string): RunId | undefined {
  return /^[0-9a-f]{32}$/.test(text) ? (text as RunId) : undefined;
}
