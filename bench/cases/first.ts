import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from '../compare/case.ts';
import { makeFiles } from '../compare/generator.ts';
import { disposeAll, inTurns, settle, targetsFor } from '../compare/in-turns.ts';

/** Everything goes over, into an empty place. */
export const first: BenchCase = {
  name: 'first',
  what: ({ files }) => `first backup of ${files.toLocaleString('en')} files`,
  bounds: [{ figure: 'seconds', times: 'rsync', most: 1 }],
  async run(bench, tell) {
    const tree = join(bench.source, 'first');
    await mkdir(tree);
    await makeFiles(tree, bench.sizes.files, 2);
    await settle();
    for (let round = 0; round < bench.sizes.rounds; round += 1) {
      const runners = await targetsFor(bench, `first-${round}`, tree);
      await inTurns(bench, runners, round, tell);
      await disposeAll(runners);
    }
    await rm(tree, { recursive: true });
  },
};
