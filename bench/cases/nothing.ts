import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchCase } from '../compare/case.ts';
import { makeFiles } from '../compare/generator.ts';
import { disposeAll, inTurns, settle, targetsFor } from '../compare/in-turns.ts';

/** What a run costs in itself, beside a single log-in. */
export const nothing: BenchCase = {
  name: 'nothing',
  what: () => 'ten files, nothing to do',
  bounds: [{ figure: 'seconds', above: 'ssh', most: 1.5 }],
  async run(bench, tell) {
    const tree = join(bench.source, 'ten');
    await mkdir(tree);
    await makeFiles(tree, 10, 1);
    const runners = await targetsFor(bench, 'ten', tree);
    await settle();
    await inTurns(bench, runners, 0);
    for (let round = 0; round < bench.sizes.rounds; round += 1) {
      tell('ssh', await bench.measure({ argv: ['ssh', '-F', bench.sshConfig, 'others', 'true'] }));
      await inTurns(bench, runners, round, tell);
    }
    await disposeAll(runners);
    await rm(tree, { recursive: true });
  },
};
