import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { escapeName } from '../protocol/file-name.ts';
import { isMissing } from '../system/files.ts';
import type { Hook } from './run-hook.ts';

/** What editors and packages leave beside a file is no hook. */
const leftover = /^\.|~$|\.(?:bak|old|orig|swp|tmp|dpkg-\w+|ucf-\w+|rpm(?:save|new|orig))$|^README/i;

/**
 * The programs in a directory, by name; none when there is no such directory. What is not executable is passed over: so
 * one is switched off.
 */
export async function hooksIn(directory: string): Promise<Hook[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const hooks: Hook[] = [];
  for (const name of names.filter((one) => !leftover.test(one)).toSorted((a, b) => (a < b ? -1 : 1))) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() && (found.mode & 0o111) !== 0) hooks.push({ name: escapeName(path), argv: [path] });
  }
  return hooks;
}

/** A hook from the words of a line of the configuration. */
export function hookOf(argv: readonly [string, ...string[]]): Hook {
  return { name: escapeName(argv[0]), argv };
}
