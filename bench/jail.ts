/**
 * `npm run bench:jail`: what the jail costs. Pairs, one after the other, so that a busy machine slows both: a program
 * started bare and in the jail, and an rsync of the same tree received bare and in the jail. Ends with 1 when the jail adds
 * more than 10 ms to a start (median), or more than 5 % to a transfer (median of the pairs).
 *
 *     npm run bench:jail [-- STARTS TRANSFERS]
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { seccompFilter } from '../src/server/sandbox/seccomp.ts';
import { bwrapArgv } from '../src/system/bwrap.ts';
import { run } from '../src/system/run.ts';

const [starts = 100, transfers = 7] = process.argv.slice(2).map(Number);
const mostStartMs = 10;
const mostRatio = 1.05;

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function timed(argv: readonly [string, ...string[]], jailed: boolean): Promise<number> {
  const begin = performance.now();
  await run(argv, { cwd: '/', ...(jailed ? { feedFds: [seccompFilter(process.arch)] } : {}) });
  return performance.now() - begin;
}

/** rsync splits its -e at spaces, so each of the two ways to start the receiver is a script of its own. */
async function receiver(path: string, directory: string, jailed: boolean): Promise<string> {
  const inJail = await bwrapArgv({ directory, access: 'write', at: '/data' }, 9, ['rsync']);
  const quoted = (jailed ? inJail : ['rsync']).map((word) => `'${word}'`).join(' ');
  await writeFile(`${path}.bpf`, seccompFilter(process.arch));
  const lines = ['#!/bin/sh', `cd '${directory}'`, 'shift 2', `exec ${quoted} "$@" 9<'${path}.bpf'`, ''];
  await writeFile(path, lines.join('\n'));
  await chmod(path, 0o755);
  return path;
}

async function makeTree(tree: string): Promise<void> {
  await mkdir(join(tree, 'small'), { recursive: true });
  await writeFile(join(tree, 'large'), randomBytes(256 * 1024 * 1024));
  for (let i = 0; i < 2000; i += 1) await writeFile(join(tree, 'small', String(i)), randomBytes(2000));
}

const work = await mkdtemp('/var/tmp/byteback-bench-');
let failed = false;
try {
  const jail = await bwrapArgv({ directory: work, access: 'write', at: '/data' }, 3, ['/usr/bin/true']);
  const bareStarts: number[] = [];
  const jailedStarts: number[] = [];
  for (let i = 0; i < starts; i += 1) {
    bareStarts.push(await timed(['/usr/bin/true'], false));
    jailedStarts.push(await timed(jail, true));
  }
  const addedMs = median(jailedStarts) - median(bareStarts);
  const fastestMs = Math.min(...jailedStarts) - Math.min(...bareStarts);
  console.log(
    `load ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} processors: starts wait for their turn on a busy machine`,
  );
  console.log(
    `a start: the jail adds ${addedMs.toFixed(1)} ms (median of ${starts}; at most ${mostStartMs}), ${fastestMs.toFixed(1)} ms at best`,
  );

  const [tree, to] = [join(work, 'tree'), join(work, 'to')];
  await makeTree(tree);
  const ways = [await receiver(join(work, 'bare'), to, false), await receiver(join(work, 'jailed'), to, true)];
  const ratios: number[] = [];
  for (let i = 0; i < transfers; i += 1) {
    const took: number[] = [];
    // In turns, so that neither always has the warmer cache.
    for (const which of i % 2 === 0 ? [0, 1] : [1, 0]) {
      const way = ways[which] ?? '';
      await rm(to, { recursive: true, force: true });
      await mkdir(to);
      await run(['sync', '--file-system', '--', work]);
      took[which] = await timed(['rsync', '-aHAX', '-M--fake-super', '-e', way, '--', `${tree}/`, 'here:.'], false);
    }
    ratios.push((took[1] ?? 0) / (took[0] ?? 1));
  }
  console.log(
    `a transfer: ${median(ratios).toFixed(3)} times as long (median of ${transfers} pairs; at most ${mostRatio})`,
  );
  failed = addedMs > mostStartMs || median(ratios) > mostRatio;
} finally {
  await rm(work, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
