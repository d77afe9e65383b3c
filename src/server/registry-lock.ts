import { dirname, join } from 'node:path';
import { BytebackError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { tryLock } from '../system/lock.ts';

const waitMs = 100;
const patienceMs = 30_000;

/**
 * Does something while nobody else changes the registry. The lock is a file of root's beside it, mode 0600: the
 * byteback user cannot open it, so that it can hold nobody up.
 * @param registryPath the registry itself.
 * @throws BytebackError `locked` when another change takes longer than 30 s.
 */
export async function withRegistryLock<Result>(
  registryPath: string,
  clock: Clock,
  action: () => Promise<Result>,
): Promise<Result> {
  const path = join(dirname(registryPath), '.registry.lock');
  for (let waitedMs = 0; ; waitedMs += waitMs) {
    const lock = await tryLock(path, { create: true });
    if (lock !== undefined) {
      try {
        return await action();
      } finally {
        await lock.release();
      }
    }
    if (waitedMs >= patienceMs) {
      throw new BytebackError('locked', {
        what: 'the registry of clients is locked',
        why: 'another registration is going on',
        fix: 'try again',
      });
    }
    await clock.sleep(waitMs);
  }
}
