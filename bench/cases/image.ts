import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from '../compare/case.ts';
import { changeBlocks, makeLarge } from '../compare/generator.ts';
import { disposeAll, inTurns, settle, targetsFor } from '../compare/in-turns.ts';

/** The disk of a virtual machine: one large file in which one block in a hundred is new. */
export const image: BenchCase = {
  name: 'image',
  what: ({ scale }) => `image of ${scale} GiB, 1 % of its blocks changed`,
  bounds: [
    { figure: 'wireBytes', most: 15e6 },
    { figure: 'diskBytes', most: 13e6 },
  ],
  async run(bench, tell) {
    const { scale, rounds } = bench.sizes;
    const tree = join(bench.source, 'image');
    await mkdir(tree);
    await makeLarge(join(tree, 'disk.img'), 1024 ** 3 * scale, 6);
    await settle();
    const runners = await targetsFor(bench, 'image', tree);
    await inTurns(bench, runners, 0);
    for (let round = 0; round < rounds; round += 1) {
      await changeBlocks(join(tree, 'disk.img'), 0.01, 200 + round);
      await settle();
      await inTurns(bench, runners, round, tell);
    }
    await disposeAll(runners);
    await rm(tree, { recursive: true });
  },
};
