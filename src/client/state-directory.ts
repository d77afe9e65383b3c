import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientPaths } from '../config/paths.ts';
import { BytebackError, reasonOf } from '../errors.ts';
import { type Lock, tryLock } from '../system/lock.ts';

/** Makes sure that this is the only run of this client. @throws BytebackError locked, usage. */
export async function takeLock(paths: ClientPaths): Promise<Lock> {
  let lock: Lock | undefined;
  try {
    await mkdir(paths.stateDir, { recursive: true, mode: 0o700 });
    lock = await tryLock(paths.lock, { create: true });
  } catch (error) {
    if (error instanceof BytebackError) throw error;
    throw new BytebackError('usage', {
      what: `cannot write in ${paths.stateDir}`,
      why: reasonOf(error),
      fix: 'run byteback-backup as root, or set BYTEBACK_STATE_DIR to a directory of your own',
    });
  }
  if (lock === undefined) {
    throw new BytebackError('locked', {
      what: 'another run is going on',
      why: `${paths.lock} is locked`,
      fix: 'wait until it has ended',
    });
  }
  return lock;
}

/** The directory of a run's own files in the state directory begins so. */
const workPrefix = 'run-';

/** A directory for a run's own files. What a run that was killed left behind goes first: the lock is held, so nobody uses it. */
export async function makeWorkDirectory(stateDir: string): Promise<string> {
  for (const name of await readdir(stateDir)) {
    if (name.startsWith(workPrefix)) await rm(join(stateDir, name), { recursive: true, force: true });
  }
  return await mkdtemp(join(stateDir, workPrefix));
}
