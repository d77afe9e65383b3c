import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { escapeName } from '../protocol/file-name.ts';
import { isMissing } from '../system/files.ts';
import type { Hook } from './run-hook.ts';

/** What editors and packages leave beside a file is no hook. */
const leftover = /^\.|~$|\.(?:bak|old|orig|swp|tmp|dpkg-\w+|ucf-\w+|rpm(?:save|new|orig)|off)$|^README/i;

/** What is in a directory of hooks. */
interface HookDirectory {
  /** The programs in it, by name. */
  readonly hooks: readonly Hook[];
  /** Files that nobody may execute, escaped: so one is switched off, or was forgotten. */
  readonly passedOver: readonly string[];
}

/** What is in a directory of hooks, leftovers aside; nothing when there is no such directory. */
export async function readHooks(directory: string): Promise<HookDirectory> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return { hooks: [], passedOver: [] };
    throw error;
  }
  const hooks: Hook[] = [];
  const passedOver: string[] = [];
  for (const name of names.filter((one) => !leftover.test(one)).toSorted((a, b) => (a < b ? -1 : 1))) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => 'dead' as const);
    // A link that leads nowhere is a hook that does nothing, too.
    if (found === 'dead' || (found.isFile() && (found.mode & 0o111) === 0)) passedOver.push(escapeName(path));
    else if (found.isFile()) hooks.push({ name: escapeName(path), argv: [path] });
  }
  return { hooks, passedOver };
}

/** The programs in a directory, by name. */
export async function hooksIn(directory: string): Promise<readonly Hook[]> {
  return (await readHooks(directory)).hooks;
}

/** A hook from the words of a line of the configuration. */
export function hookOf(argv: readonly [string, ...string[]]): Hook {
  return { name: escapeName(argv[0]), argv };
}
