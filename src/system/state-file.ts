import { constants } from 'node:fs';
import { open, readdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import { reasonOf } from '../errors.ts';
import { isMissing, syncDirectory } from './files.ts';

/**
 * A file of byteback's own state, read: all of them are JSON, replaced as a whole, and may come back torn, empty, random, gone or
 * from a newer version after a crash, a bad disk or an admin's mistake. The reader gets to know which, and decides:
 *
 * - It can be measured or asked anew: `putAside`, go on.
 * - It protects history (holds): there is a copy elsewhere, pruning is refused until the admin has looked.
 * - It is from a newer version: refuse, change nothing.
 */
export type StateRead<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'gone' }
  | { readonly kind: 'damaged'; readonly why: string }
  | { readonly kind: 'newer'; readonly why: string };

/** No file of the state is larger. */
const maxBytes = 64 * 1024 * 1024;

/**
 * Reads a file of the state; a link is never followed.
 * @param format the newest format that this version knows; undefined for files without one.
 * @throws Error when it is there and the disk does not give it (EIO, EACCES): that is no damage of the file.
 */
export async function readStateFile<const Schema extends v.GenericSchema>(
  path: string,
  schema: Schema,
  format?: number,
): Promise<StateRead<v.InferOutput<Schema>>> {
  let text: string;
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      if ((await file.stat()).size > maxBytes) return { kind: 'damaged', why: 'it is too large' };
      text = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return { kind: 'gone' };
    throw error;
  }
  if (text.trim() === '') return { kind: 'damaged', why: 'it is empty' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own words quote what is there.
    return { kind: 'damaged', why: 'it is no JSON' };
  }
  const found = (value as { format?: unknown } | null)?.format;
  if (format !== undefined && typeof found === 'number' && found > format) {
    return { kind: 'newer', why: `it has format ${found}: a newer version of byteback wrote it` };
  }
  const result = v.safeParse(schema, value);
  if (result.success) return { kind: 'ok', value: result.output };
  const [issue] = result.issues;
  return { kind: 'damaged', why: `${v.getDotPath(issue) ?? 'it'}: ${issue.message}` };
}

/** Moves a damaged file out of the way, under a name with the date, and returns that name. */
export async function putAside(path: string, now: Date): Promise<string> {
  const aside = `${path}.damaged-${now.toISOString().slice(0, 19).replaceAll(':', '')}Z`;
  await rename(path, aside);
  await syncDirectory(dirname(path)).catch((error: unknown) => {
    throw new Error(`${aside}: ${reasonOf(error)}`, { cause: error });
  });
  return aside;
}

/** What was put aside in a directory. */
export async function findAside(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names.filter((name) => /\.damaged(?:-|$)/.test(basename(name))).map((name) => join(directory, name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
