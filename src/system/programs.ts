import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the distribution's programs lie. `su` without `-` leaves root without the sbin directories. */
const systemDirectories = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The path of a system program, or undefined when it is not installed. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of systemDirectories) {
    const path = join(directory, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/** A search path for root's programs: the caller's own, then the system directories that it lacks. */
export function completeSearchPath(path: string | undefined): string {
  const own = (path ?? '').split(':').filter((directory) => directory.startsWith('/'));
  return [...own, ...systemDirectories.filter((directory) => !own.includes(directory))].join(':');
}
