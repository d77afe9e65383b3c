import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isMissing } from './files.ts';

/** One disk of a btrfs, as the kernel tells it in /sys; no words of a program are read. */
export interface BtrfsDevice {
  readonly id: string;
  readonly missing: boolean;
  /** How often something failed, by kind: `write_errs`, `read_errs`, `flush_errs`, `corruption_errs`, `generation_errs`. */
  readonly errors: Readonly<Record<string, number>>;
}

const allOfThem = '/sys/fs/btrfs';

/**
 * Where the kernel tells of the btrfs that is mounted from a device.
 * @param source the device as the mount table names it.
 * @throws Error when the kernel knows none.
 */
export async function btrfsInSys(source: string, root = allOfThem): Promise<string> {
  const wanted = basename(source);
  for (const name of await readdir(root)) {
    for (const device of await readdir(join(root, name, 'devices')).catch(() => [])) {
      // The mount table has the name that a device mapper gave, /sys the kernel's own.
      const mapped = await readFile(join('/sys/class/block', device, 'dm/name'), 'utf8').catch(() => '');
      if (device === wanted || mapped.trim() === wanted) return join(root, name);
    }
  }
  throw new Error(`the kernel knows of no btrfs on ${source}`);
}

/** The disks of a btrfs, those that are missing included. @throws Error when the kernel does not tell (before Linux 5.14). */
export async function readDevices(directory: string): Promise<BtrfsDevice[]> {
  const devices = join(directory, 'devinfo');
  const ids = await readdir(devices);
  return await Promise.all(
    ids.map(async (id) => ({
      id,
      missing: (await readFile(join(devices, id, 'missing'), 'utf8')).trim() !== '0',
      errors: errorsIn(await readErrors(join(devices, id, 'error_stats'))),
    })),
  );
}

/** A disk that is missing has no counters. */
async function readErrors(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) throw new Error('this kernel does not count the errors of a disk', { cause: error });
    throw error;
  }
}

/** The counters that are not zero. A disk without valid counters has none. */
function errorsIn(text: string): Record<string, number> {
  return Object.fromEntries(
    text
      .split('\n')
      .map((line) => /^([a-z_]+_errs) ([0-9]+)$/.exec(line))
      .flatMap((match) => (match === null || match[2] === '0' ? [] : [[match[1], Number(match[2])]])),
  );
}

/** Whether quotas are on and known to be wrong; false where there are none. */
export async function areQuotasInconsistent(directory: string): Promise<boolean> {
  try {
    return (await readFile(join(directory, 'qgroups', 'inconsistent'), 'utf8')).trim() !== '0';
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
