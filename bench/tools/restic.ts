import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { command, must } from '../../test/helpers/command.ts';
import type { Tool } from '../compare/tool.ts';

/** As its manual has it for sftp; its cache of indexes is kept on the client, as in ordinary use. */
export const restic: Tool = {
  name: 'restic',
  isThere: async () => (await command(['which', 'restic'])).exitCode === 0,
  async target(bench, name, tree) {
    const place = join(bench.othersDir, `restic-${name}`);
    const cache = join(bench.machine.scratch, `restic-cache-${name}`);
    const env = { RESTIC_PASSWORD: 'benchmark', RESTIC_CACHE_DIR: cache, HOME: '/root' };
    const argv = [
      ...['restic', '--quiet', '-r', `sftp:others:${place}`],
      ...['-o', `sftp.command=ssh -F ${bench.sshConfig} others -s sftp`],
    ];
    await must([...argv, 'init'], { env });
    return {
      backup: () => bench.measure({ argv: [...argv, 'backup', tree], env }),
      restore: (part, to) =>
        bench.measure({
          argv: [...argv, 'restore', 'latest', '--target', to, ...(part === '' ? [] : ['--include', join(tree, part)])],
          env,
        }),
      async dispose() {
        for (const path of [place, cache]) await rm(path, { recursive: true, force: true });
      },
    };
  },
};
