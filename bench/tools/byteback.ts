import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../../test/helpers/command.ts';
import type { Tool } from '../compare/tool.ts';

const dayMs = 24 * 3_600_000;

/** The installed package, as a timer calls it: snapshot included. */
export const byteback: Tool = {
  name: 'byteback',
  isThere: () => Promise.resolve(true),
  async target(bench, name, tree) {
    const client = await bench.machine.client(name);
    await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\nsource = ["${tree}"]\n`);
    return {
      backup: () => bench.measure({ argv: ['byteback-backup'], env: client.env }),
      restore: (part, to) =>
        bench.measure({
          argv: ['byteback-restore', '--restore', '--to', to, part === '' ? '--all-files' : join(tree, part)],
          env: client.env,
        }),
      // Otherwise the runs would follow each other so closely that the check of a part of the tree had nothing to do.
      async dayLater() {
        for (const file of await readdir(client.stateDir)) {
          if (!/^catalogue-[0-9a-f]+\.json$/.test(file)) continue;
          const path = join(client.stateDir, file);
          const catalogue = JSON.parse(await readFile(path, 'utf8'));
          await writeFile(path, JSON.stringify({ ...catalogue, checkedAt: catalogue.checkedAt - dayMs }));
        }
      },
      async dispose() {
        const snapshots = (await bench.machine.snapshots(name)).map((each) => join(client.place, 'snapshots', each));
        await must(['btrfs', 'subvolume', 'delete', ...snapshots, join(client.place, 'current')]);
        await rm(client.place, { recursive: true });
      },
    };
  },
};
