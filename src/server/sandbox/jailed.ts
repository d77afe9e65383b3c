import type { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { changesInside } from './inside/changes.ts';
import { drop } from './inside/drop.ts';
import { findInside } from './inside/find.ts';
import { pickInside } from './inside/pick.ts';
import { proveFromInside } from './inside/prove.ts';
import { replay } from './inside/replay.ts';
import { separate } from './inside/separate.ts';
import { versionsInside } from './inside/versions.ts';

/** What the program inside the jail can be asked, by its one argument. */
const tasks = {
  prove: proveFromInside,
  separate,
  replay,
  drop,
  versions: versionsInside,
  find: findInside,
  changes: changesInside,
  pick: pickInside,
} as const;
export type JailedTask = keyof typeof tasks;

/** No request to the jailed program is larger; a list of a million paths to separate fits. */
const maxRequestBytes = 128 * 1024 * 1024;

/** Where the jailed program stands, seen from inside. */
export const jailedProgramArgv = (task: JailedTask): [string, ...string[]] => [
  '/usr/lib/byteback/node',
  '--disable-warning=ExperimentalWarning',
  // A client decides how much there is to look at; a dozen such programs must fit into a small server.
  '--max-old-space-size=512',
  '/usr/lib/byteback/jailed.mjs',
  task,
];

/** Runs one task: the request is all of stdin, the answer one JSON object on stdout. Gives the exit code. */
export async function runJailed(task: string, stdin: Readable, stdout: Writable): Promise<number> {
  if (!Object.hasOwn(tasks, task)) return 2;
  const request = await buffer(limited(stdin));
  stdout.write(`${JSON.stringify(await tasks[task as JailedTask](request))}\n`);
  return 0;
}

async function* limited(stream: Readable): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxRequestBytes) throw new Error('the request is too large');
    yield chunk;
  }
}
