import { type BigIntStats, closeSync, constants, lstatSync, openSync } from 'node:fs';

/** A path that is longer than this is reached in steps: the kernel takes none of 4,096 bytes and more (PATH_MAX). */
const longestBytes = 4000;
/** Each step is shorter, so that what is left of a path always fits behind it. */
const stepBytes = 3500;

const openDirectory = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** True for a path that has to be reached in steps. */
export function isDeep(path: Uint8Array): boolean {
  return path.length > longestBytes;
}

/**
 * A path of any length in a form that the kernel takes: the directories on its way are opened one after the other, and the last
 * of them stands in for the way to it, as `/proc/PID/fd/N`. It holds until it is closed, for programs that we start, too.
 * @throws as open(2) does where a part of the way is missing, no directory, or a link.
 */
export function openPlace(path: Buffer): { readonly place: Buffer; close(): void } {
  if (!isDeep(path)) return { place: path, close: () => undefined };
  let rest = path;
  let at: number | undefined;
  try {
    while (isDeep(rest)) {
      // No name is longer than what is left of a step, so that there is always a slash.
      const end = rest.lastIndexOf(0x2f, stepBytes);
      const way = rest.subarray(0, end);
      const next = openSync(at === undefined ? way : behind(at, way), openDirectory);
      if (at !== undefined) closeSync(at);
      at = next;
      rest = rest.subarray(end + 1);
    }
    const last = at as number;
    return { place: behind(last, rest), close: () => closeSync(last) };
  } catch (error) {
    if (at !== undefined) closeSync(at);
    throw error;
  }
}

function behind(file: number, rest: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/${process.pid}/fd/${file}/`), rest]);
}

/** Does something with a path of any length, at once. */
export function atPlace<T>(path: Buffer, use: (place: Buffer) => T): T {
  const { place, close } = openPlace(path);
  try {
    return use(place);
  } finally {
    close();
  }
}

/** lstat(2) of a path of any length; undefined for what is not there. */
export function statPlace(path: Buffer): BigIntStats | undefined {
  try {
    return atPlace(path, (place) => lstatSync(place, { bigint: true, throwIfNoEntry: false }));
  } catch (error) {
    // On a way of steps a missing part is an error of its own.
    if (isDeep(path) && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
}
