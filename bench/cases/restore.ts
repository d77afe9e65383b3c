import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../../test/helpers/command.ts';
import type { Bench } from '../compare/bench-machine.ts';
import type { BenchCase, Bound, Tell } from '../compare/case.ts';
import { makeFiles, nameOf } from '../compare/generator.ts';
import { disposeAll, inTurns, type Runner, settle, targetsFor } from '../compare/in-turns.ts';

const others = ['restic', 'borg'];

/** What comes back of a tree, and how fast it must be. */
interface Part {
  readonly name: string;
  readonly what: string;
  /** Below the tree; '' is all of it. */
  path(files: number): string;
  readonly bounds: readonly Bound[];
}

const parts: readonly Part[] = [
  {
    name: 'restore-one',
    what: 'one file',
    path: (files) => nameOf(Math.floor(files / 2)),
    bounds: [{ figure: 'seconds', times: others, most: 0.5, fullSizeOnly: true }],
  },
  {
    name: 'restore-directory',
    what: 'a directory with a tenth of it',
    path: () => 'd0',
    bounds: [{ figure: 'seconds', times: others, most: 1, fullSizeOnly: true }],
  },
  {
    name: 'restore-all',
    what: 'everything',
    path: () => '',
    bounds: [
      { figure: 'seconds', times: others, most: 1, fullSizeOnly: true },
      { figure: 'seconds', times: 'rsync', most: 1, fullSizeOnly: true },
    ],
  },
];

/** Each tool brings back a part of what it has backed up; byteback with its comparison by checksums. */
export const restores: readonly BenchCase[] = parts.map(({ name, what, path, bounds }) => ({
  name,
  what: ({ files }) => `restore ${what} of ${files.toLocaleString('en')} files`,
  bounds,
  async run(bench, tell) {
    const { files, rounds } = bench.sizes;
    const tree = join(bench.source, name);
    await mkdir(tree);
    await makeFiles(tree, files, 7);
    await settle();
    const runners = await targetsFor(bench, name, tree);
    await inTurns(bench, runners, 0);
    // The disk to restore to is a file with holes: whoever comes first pays for its blocks. And btrfs caches a snapshot's files apart
    // from those of the subvolume that they were written to.
    await restoreInTurns(bench, runners, path(files), 0);
    for (let round = 0; round < rounds; round += 1) await restoreInTurns(bench, runners, path(files), round, tell);
    await disposeAll(runners);
    await rm(tree, { recursive: true });
  },
}));

/** Each tool once, in an order that changes from round to round, onto a disk that has nothing else to do. */
async function restoreInTurns(
  bench: Bench,
  runners: readonly Runner[],
  part: string,
  round: number,
  tell?: Tell,
): Promise<void> {
  const to = join(bench.source, 'restored');
  const first = round % Math.max(1, runners.length);
  for (const { tool, target } of [...runners.slice(first), ...runners.slice(0, first)]) {
    await mkdir(to);
    await must(['sync', '-f', bench.source], { timeoutMs: 600_000 });
    const measured = await target.restore(part, to);
    if (tell === undefined) bench.log(`  ${tool}: ${measured.seconds.toFixed(2)} s, not counted`);
    else tell(tool, measured);
    await rm(to, { recursive: true });
  }
}
