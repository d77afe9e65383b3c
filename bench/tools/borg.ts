import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { command, must } from '../../test/helpers/command.ts';
import type { Tool } from '../compare/tool.ts';

/** As its manual has it for ssh: encrypted, compressed with its default. */
export const borg: Tool = {
  name: 'borg',
  isThere: async () => (await command(['which', 'borg'])).exitCode === 0,
  async target(bench, name, tree) {
    const place = join(bench.othersDir, `borg-${name}`);
    const home = join(bench.machine.scratch, `borg-home-${name}`);
    const env = { BORG_PASSPHRASE: 'benchmark', BORG_BASE_DIR: home, BORG_RSH: `ssh -F ${bench.sshConfig}` };
    const repository = `ssh://others${place}`;
    await must(['borg', 'init', '--encryption', 'repokey', repository], { env });
    let archive = 0;
    return {
      backup() {
        archive += 1;
        return bench.measure({ argv: ['borg', 'create', `${repository}::${archive}`, tree], env });
      },
      restore(part, to) {
        const names = part === '' ? [] : [join(tree, part).slice(1)];
        return bench.measure({ argv: ['borg', 'extract', `${repository}::${archive}`, ...names], env, cwd: to });
      },
      async dispose() {
        for (const path of [place, home]) await rm(path, { recursive: true, force: true });
      },
    };
  },
};
