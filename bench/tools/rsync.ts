import { join } from 'node:path';
import { must } from '../../test/helpers/command.ts';
import type { Tool } from '../compare/tool.ts';

/** What a careful admin would write: the flags of byteback's own transfers, the same store, no snapshot. */
export const bareRsync: Tool = {
  name: 'rsync',
  isThere: () => Promise.resolve(true),
  async target(bench, name, tree) {
    const place = join(bench.othersDir, `rsync-${name}`);
    await must(['btrfs', '-q', 'subvolume', 'create', place]);
    await must(['chown', 'others:', place]);
    return {
      backup: () =>
        bench.measure({
          argv: [
            ...['rsync', '-aHAX', '--numeric-ids', '--delete', '--modify-window=-1', '-M--fake-super'],
            ...['-e', `ssh -F ${bench.sshConfig}`, '--', `${tree}/`, `others:${place}/`],
          ],
        }),
      restore: (part, to) =>
        bench.measure({
          argv: [
            ...['rsync', '-aHAX', '--numeric-ids', '-M--fake-super', '-e', `ssh -F ${bench.sshConfig}`],
            ...['--', `others:${join(place, part)}${part === '' ? '/' : ''}`, `${to}/`],
          ],
        }),
      dispose: async () => {
        await must(['btrfs', 'subvolume', 'delete', place]);
      },
    };
  },
};
