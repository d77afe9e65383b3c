import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from '../compare/case.ts';
import { makeFiles } from '../compare/generator.ts';
import { disposeAll, inTurns, settle, targetsFor } from '../compare/in-turns.ts';

/** Very many very small files of which none has changed. */
export const million: BenchCase = {
  name: 'million',
  what: ({ files }) => `${(10 * files).toLocaleString('en')} files, none changed`,
  long: true,
  bounds: [
    { figure: 'seconds', times: 'rsync', most: 0.1, fullSizeOnly: true },
    { figure: 'clientBytes', most: 250e6 },
  ],
  async run(bench, tell) {
    const tree = join(bench.source, 'million');
    await mkdir(tree);
    await makeFiles(tree, 10 * bench.sizes.files, 4, 100);
    await settle();
    const runners = await targetsFor(bench, 'million', tree);
    await inTurns(bench, runners, 0);
    for (let round = 0; round < bench.sizes.rounds; round += 1) await inTurns(bench, runners, round, tell);
    await disposeAll(runners);
    await rm(tree, { recursive: true });
  },
};
