import { setTimeout as sleep } from 'node:timers/promises';
import { start } from './run.ts';

/** A server that is there answers in this time, and a file system that is mounted when it is looked at is there. */
const patienceMs = 10_000;

/**
 * The paths (byte strings) at which a look gets no answer at all: on a network file system whose server is away, or on one that a stuck
 * program shows. A process of its own looks at each, because whoever looks there may wait for ever, and cannot always be ended.
 */
export async function findSilent(paths: readonly string[]): Promise<string[]> {
  const done = new AbortController();
  const late = sleep(patienceMs, 'late' as const, { signal: done.signal }).catch(() => 'late' as const);
  const silent: string[] = [];
  await Promise.all(
    paths.map(async (path) => {
      const name = Buffer.from(path, 'latin1').toString('utf8');
      // The attributes of a path may be remembered; the figures of the file system are asked for.
      const look = start(['stat', '--file-system', '--format=', '--', name], { cwd: '/' });
      if ((await Promise.race([look.ended, late])) !== 'late') return;
      look.kill('SIGKILL');
      silent.push(path);
    }),
  );
  done.abort();
  return silent;
}
