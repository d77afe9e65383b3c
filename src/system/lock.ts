import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BytebackError } from '../errors.ts';
import { run } from './run.ts';

/** A kernel lock that is held until it is released or the last process that holds its descriptor ends. */
export interface Lock {
  /** Pass it to a child (`passFds`) to let the lock live as long as the child does. */
  readonly fd: number;
  release(): Promise<void>;
}

/**
 * Takes the exclusive flock(2) on a file, at once or not at all: undefined when somebody else holds it.
 * Node has no flock; flock(1) locks our open file description through an inherited descriptor (3 ms), and the lock
 * stays with the description after flock(1) has ended.
 * @param create makes the file, mode 0600, when it is missing; otherwise it must exist and is opened read-only.
 */
export async function tryLock(path: string, { create = false }: { create?: boolean } = {}): Promise<Lock | undefined> {
  const file: FileHandle = create ? await open(path, 'a', 0o600) : await open(path, 'r');
  try {
    const { exitCode } = await run(['flock', '--exclusive', '--nonblock', '--conflict-exit-code', '75', '3'], {
      passFds: [file.fd],
      accept: [0, 75],
    });
    if (exitCode === 75) {
      await file.close();
      return undefined;
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  return { fd: file.fd, release: () => file.close() };
}

/** The same for a file of root's that is changed in a moment: others are waited for, 5 seconds long. @throws BytebackError locked. */
export async function patientLock(path: string): Promise<Lock> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const lock = await tryLock(path, { create: true });
    if (lock !== undefined) return lock;
    await sleep(25);
  }
  throw new BytebackError('locked', { what: 'somebody else is changing the state of the client', fix: 'try again' });
}
