import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from '../compare/case.ts';
import { changeFiles, makeFiles } from '../compare/generator.ts';
import { disposeAll, inTurns, settle, targetsFor } from '../compare/in-turns.ts';

/** The run of every night: a share of the files has changed, or none. */
export const changes = (share: number): BenchCase => ({
  name: share === 0 ? 'unchanged' : 'changed',
  what: ({ files }) => `${files.toLocaleString('en')} files, ${share === 0 ? 'none' : `${share * 100} %`} changed`,
  bounds: [{ figure: 'seconds', times: 'rsync', most: share === 0 ? 0.25 : 0.33, fullSizeOnly: true }],
  async run(bench, tell) {
    const { files, rounds } = bench.sizes;
    const tree = join(bench.source, 'changes');
    await mkdir(tree);
    await makeFiles(tree, files, 3);
    await settle();
    const runners = await targetsFor(bench, share === 0 ? 'unchanged' : 'changed', tree);
    // What a first backup costs is another case.
    await inTurns(bench, runners, 0);
    for (let round = 0; round < rounds; round += 1) {
      if (share > 0) await changeFiles(tree, files, share, 100 + round);
      await settle();
      await inTurns(bench, runners, round, tell);
      // The same without a part of the tree to check, so that what the check costs is seen.
      const again = share === 0 ? runners.find(({ tool }) => tool === 'byteback') : undefined;
      if (again !== undefined) tell('byteback, no check due', await again.target.backup());
    }
    await disposeAll(runners);
    await rm(tree, { recursive: true });
  },
});
