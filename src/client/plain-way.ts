import { closeSync, constants, openSync } from 'node:fs';

/** No link is followed, and nothing waits: what stands there now may be something else than it was. */
export const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** A name in an open directory (proc_pid_fd(5)). */
export function within(directory: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${directory}/${name}`, 'latin1');
}

/**
 * Opens a directory step by step, so that no link on the way leads elsewhere; undefined where that cannot be.
 * @param path absolute, as a byte string
 * @param root put before it, it leads to where the tree is looked at; see MountSpace
 */
export function openPlainly(path: string, root = ''): number | undefined {
  try {
    return openSteps(path, root);
  } catch {
    // It is gone, or is a link now.
    return undefined;
  }
}

/** What the path of a directory leads to: links on it are not followed. */
export function wayTo(path: string, root = ''): 'there' | 'nowhere' | 'elsewhere' {
  try {
    closeSync(openSteps(path, root));
    return 'there';
  } catch (error) {
    // A link is no directory (ENOTDIR).
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'nowhere' : 'elsewhere';
  }
}

function openSteps(path: string, root: string): number {
  let handle = openSync(`${root}/`, openFlags);
  for (const name of path.split('/').filter(Boolean)) {
    try {
      const inner = openSync(within(handle, name), openFlags | constants.O_DIRECTORY);
      closeSync(handle);
      handle = inner;
    } catch (error) {
      closeSync(handle);
      throw error;
    }
  }
  return handle;
}
