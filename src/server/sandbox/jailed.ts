import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { changesInside } from './inside/changes.ts';
import { digestsInside } from './inside/digests.ts';
import { drop } from './inside/drop.ts';
import { findInside } from './inside/find.ts';
import { listInside } from './inside/list.ts';
import { lookInside } from './inside/look.ts';
import { pickInside } from './inside/pick.ts';
import { proveFromInside } from './inside/prove.ts';
import { replay } from './inside/replay.ts';
import { separate } from './inside/separate.ts';
import { treeInside } from './inside/tree.ts';
import { unreadableInside } from './inside/unreadable.ts';
import { versionsInside } from './inside/versions.ts';

/** What the program inside the jail can be asked, by its one argument. */
const tasks = {
  prove: proveFromInside,
  separate,
  replay,
  list: listInside,
  drop,
  versions: versionsInside,
  find: findInside,
  changes: changesInside,
  pick: pickInside,
  unreadable: unreadableInside,
  look: lookInside,
  tree: treeInside,
  digests: digestsInside,
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
  // What is young and dead is taken away sooner: half the memory for as much time.
  '--max-semi-space-size=2',
  '/usr/lib/byteback/jailed.mjs',
  task,
];

/**
 * Runs one task: the request is all of stdin, the answer one JSON object on stdout, or lines as they are found: then only
 * as fast as somebody reads them. Gives the exit code.
 */
export async function runJailed(task: string, stdin: Readable, stdout: Writable): Promise<number> {
  if (!Object.hasOwn(tasks, task)) return 2;
  const request = await buffer(limited(stdin));
  const answer = tasks[task as JailedTask](request);
  if (Symbol.asyncIterator in answer) {
    for await (const lines of answer as AsyncGenerator<string | Buffer>)
      if (!stdout.write(lines)) await once(stdout, 'drain');
  } else {
    stdout.write(`${JSON.stringify(await answer)}\n`);
  }
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
