import { readFile } from 'node:fs/promises';
import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { BytebackError, reasonOf } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import { isMissing } from '../system/files.ts';
import { findKeyLines, type KeyPath } from './key-lines.ts';
import { nearest } from './nearest.ts';

/** The text of a file, or undefined when it does not exist. @throws BytebackError (usage) when it cannot be read. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new BytebackError('usage', {
      what: `cannot read ${escapeName(path)}`,
      why: reasonOf(error),
      fix: 'run it as root, or correct the owner and mode of the file',
    });
  }
}

/**
 * A TOML text as a typed value.
 * @throws BytebackError (usage) that names file, line and key, for the first thing that is wrong.
 */
export function parseTomlText<const Schema extends v.GenericSchema>(
  path: string,
  text: string,
  schema: Schema,
): v.InferOutput<Schema> {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.replace(/^Invalid TOML document: /, '').split('\n')[0] ?? '';
    throw badLine(path, error.line, `not valid TOML`, reason);
  }
  const result = v.safeParse(schema, document, { abortPipeEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  const keys: KeyPath = (issue.path ?? []).map((item) => item.key as string | number);
  const line = findKeyLines(text).lineOf(keys);
  const name = keyName(keys);
  const parts = unquotedName(document, keys);
  if (parts !== undefined) {
    const whole = parts.join('.');
    throw badLine(
      path,
      lineOfUnquoted(text, parts) ?? line,
      `client.${whole}: a name with dots needs quotes`,
      'without them each dot begins a table of its own',
      `write it so: [client.${JSON.stringify(whole)}]`,
    );
  }
  if (issue.expected === 'never') {
    const known = knownKeys(schema, keys.slice(0, -1));
    const guess = nearest(String(keys.at(-1)), known);
    throw badLine(
      path,
      line,
      `${name}: unknown key`,
      guess === undefined ? `the keys known here: ${known.join(', ')}` : undefined,
      guess === undefined ? undefined : `did you mean ${guess}?`,
    );
  }
  if (issue.received === 'undefined') throw badLine(path, line, `${name} is missing`);
  // A value that came out of the parser as it is: shown, so that the person sees what byteback saw.
  const isKey = issue.path?.at(-1)?.origin === 'key';
  // An address may hold a password, and a client may be told of what is wrong here.
  const isSecret = keys.some((key) => ['smtp', 'ping', 'webhook'].includes(String(key)));
  const value = isPlain(issue.input) && !isKey && !isSecret ? ` = ${escapeName(JSON.stringify(issue.input))}` : '';
  throw badLine(path, line, `${name}${value} is not allowed`, explain(issue));
}

/**
 * The parts of a client's name that was written without quotes: `[client.web1.example.net]` is a table in a table in a table. Where
 * no setting is a table, each table below a client's is meant so.
 */
function unquotedName(document: unknown, keys: KeyPath): string[] | undefined {
  if (keys[0] !== 'client' || keys.length < 3) return undefined;
  const parts: string[] = [String(keys[1])];
  let at = (document as { client?: Record<string, unknown> }).client?.[parts[0] ?? ''];
  for (const key of keys.slice(2)) {
    const next = isTable(at) ? at[key] : undefined;
    if (!isTable(next)) break;
    parts.push(String(key));
    at = next;
  }
  if (parts.length === 1) return undefined;
  // The name goes on for as long as there is a single table in the table.
  for (let names = tablesIn(at); names.length === 1; names = tablesIn(at)) {
    const [name = ''] = names;
    parts.push(name);
    at = (at as Record<string, unknown>)[name];
  }
  return parts;
}

function isTable(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function tablesIn(value: unknown): string[] {
  return isTable(value) ? Object.keys(value).filter((key) => isTable(value[key])) : [];
}

/** The first line, from 1, that has these parts one after the other, with nothing but dots, spaces and quotes between them. */
function lineOfUnquoted(text: string, parts: readonly string[]): number | undefined {
  const escaped = parts.map((part) => `["']?${part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}["']?`);
  const pattern = new RegExp(`(?:^|[.\\s[])${escaped.join('\\s*\\.\\s*')}\\s*(?:[\\].=]|$)`);
  const at = text.split('\n').findIndex((line) => pattern.test(line.replace(/#.*$/, '')));
  return at < 0 ? undefined : at + 1;
}

function badLine(path: string, line: number, what: string, why?: string, fix?: string): BytebackError {
  const where = `${escapeName(path)}:${line}`;
  return new BytebackError('usage', {
    what: `${where}: ${what}`,
    ...(why === undefined ? {} : { why }),
    fix: fix ?? `correct line ${line} of ${escapeName(path)} (see docs/configuration.md)`,
  });
}

function isPlain(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text in quotes',
  number: 'a number',
  Array: 'a list in brackets',
  Object: 'a table',
};

function explain(issue: v.BaseIssue<unknown>): string {
  if (issue.kind === 'schema' && issue.expected !== null) {
    const words = issue.expected.replace(/[()]/g, '').split(' | ');
    return `it must be ${words.map((word) => typeNames[word] ?? word).join(' or ')}`;
  }
  return issue.message;
}

/** `client."web1.example.net".keep`, as it would be written in the file. */
function keyName(keys: KeyPath): string {
  let name = '';
  for (const key of keys) {
    if (typeof key === 'number') name += `[${key}]`;
    else name += `${name === '' ? '' : '.'}${/^[A-Za-z0-9_-]+$/.test(key) ? key : `"${escapeName(key)}"`}`;
  }
  return name;
}

/** The keys of the table at a path of the schema, through records and optional values. */
function knownKeys(schema: unknown, path: KeyPath): string[] {
  let at = schema as { entries?: Record<string, unknown>; value?: unknown; wrapped?: unknown; pipe?: unknown[] };
  for (const key of [...path, undefined]) {
    while (at?.wrapped !== undefined || at?.pipe !== undefined) at = (at.wrapped ?? at.pipe?.[0]) as typeof at;
    if (key === undefined) break;
    at = (at?.entries?.[String(key)] ?? at?.value) as typeof at;
  }
  return Object.keys(at?.entries ?? {});
}
