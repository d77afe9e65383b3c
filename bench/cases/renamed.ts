import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from '../compare/case.ts';
import { makeFiles } from '../compare/generator.ts';
import { disposeAll, inTurns, settle, targetsFor } from '../compare/in-turns.ts';

const meanBytes = 300_000;
const fullBytes = 1e9;

/** A directory of 1 GB gets another name. */
export const renamed: BenchCase = {
  name: 'renamed',
  what: ({ scale }) => `directory of ${scale} GB renamed`,
  bounds: [
    { figure: 'seconds', times: 'rsync', most: 0.15, fullSizeOnly: true },
    { figure: 'wireBytes', times: 'rsync', most: 0.001, fullSizeOnly: true },
  ],
  async run(bench, tell) {
    const { scale, rounds } = bench.sizes;
    const tree = join(bench.source, 'renamed');
    await mkdir(join(tree, 'name-0'), { recursive: true });
    await makeFiles(join(tree, 'name-0'), Math.round((fullBytes * scale) / meanBytes), 5, meanBytes);
    await settle();
    const runners = await targetsFor(bench, 'renamed', tree);
    await inTurns(bench, runners, 0);
    for (let round = 0; round < rounds; round += 1) {
      await rename(join(tree, `name-${round}`), join(tree, `name-${round + 1}`));
      await settle();
      await inTurns(bench, runners, round, tell);
    }
    await disposeAll(runners);
    await rm(tree, { recursive: true });
  },
};
