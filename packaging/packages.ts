/** The packages, and what is in them. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { version } from '../src/version.ts';
import { copyrightOfByteback, copyrightOfOurs, copyrightOfRuntime } from './copyright.ts';
import { architecture, type Package } from './debian.ts';
import { writePages } from './pages/write.ts';
import { copyInto } from './tree.ts';

const root = join(import.meta.dirname, '..');

/** The commands, the bundle, the units, the pages. @param date in seconds. */
async function fillByteback(tree: string, date: number): Promise<void> {
  const lib = join(root, 'lib/byteback');
  for (const name of await readdir(lib)) {
    // What a run in the checkout may have left there is not part of a package.
    if (name !== 'node' && name !== 'cache') await copyInto(join(lib, name), join(tree, 'usr/lib/byteback', name));
  }
  await copyInto(join(root, 'bin'), join(tree, 'usr/bin'));
  await copyInto(join(root, 'systemd'), join(tree, 'usr/lib/systemd/system'));
  await copyInto(join(root, 'CHANGELOG.md'), join(tree, 'usr/share/doc/byteback/NEWS.md'));
  await copyInto(join(root, 'README.md'), join(tree, 'usr/share/doc/byteback/README.md'));
  await writePages(root, join(tree, 'usr'), date);
}

const what =
  'byteback keeps the files of many Linux machines as plain files in read-only btrfs snapshots on one server. ' +
  'The machines push their files by rsync over ssh; the server keeps as much history as its disk holds.';

/** Nothing of its own: it names what one side needs besides. */
function sidePackage(side: 'client' | 'server', task: string, depends: readonly string[], copyright: string): Package {
  return {
    name: `byteback-${side}`,
    architecture: 'all',
    summary: `what a byteback ${side} needs (metapackage)`,
    description: [
      what,
      `This metapackage depends on byteback and on all that ${task}. Set it up with byteback-setup-${side}.`,
    ],
    depends: [`byteback (= ${version})`, ...depends],
    // One of the two starts what has to be done daily or hourly.
    recommends: ['systemd | cron'],
    copyright,
    fill: async () => undefined,
  };
}

const ours = await copyrightOfOurs(root);

/**
 * The first that distrusts links and the rules of a peer; Debian has it in its security updates. The package `byteback` alone takes older
 * ones, for distributions without it: the jail contains what they do, and `byteback doctor` warns.
 */
const safeRsync = 'rsync (>= 3.5.0)';

/** In the order in which they are built. */
export const packages: readonly Package[] = [
  {
    name: 'byteback',
    architecture: 'all',
    summary: 'backups that look after themselves',
    description: [
      what,
      'One command sets up a server, one command sets up a client. Both are in this package; byteback-server and ' +
        'byteback-client bring what each of them needs besides.',
    ],
    depends: [
      `byteback-runtime (= ${version})`,
      'rsync (>= 3.2.3)',
      'openssh-client',
      // flock, findmnt
      'util-linux (>= 2.30)',
    ],
    suggests: ['byteback-server', 'byteback-client'],
    copyright: await copyrightOfByteback(root),
    fill: fillByteback,
  },
  {
    name: 'byteback-runtime',
    architecture,
    summary: 'Node.js for byteback',
    description: [
      'byteback runs on the Node.js it was tested with, at a path of its own, whatever other Node.js the machine has ' +
        'or lacks. Nothing else on the machine uses it.',
    ],
    depends: ['libc6 (>= 2.28)', 'libstdc++6 (>= 8)', 'libgcc-s1 | libgcc1'],
    copyright: await copyrightOfRuntime(root),
    fill: async (tree) => {
      await copyInto(join(root, 'lib/byteback/node'), join(tree, 'usr/lib/byteback/node'), true);
    },
  },
  sidePackage('client', 'sends files', [safeRsync, 'openssh-client'], ours),
  sidePackage(
    'server',
    'stores files',
    [
      safeRsync,
      'btrfs-progs',
      // Since 0.8 it can close the door behind it: --disable-userns.
      'bubblewrap (>= 0.8.0)',
      // getfattr: owners and modes of versions, as rsync recorded them.
      'attr',
      'sudo',
      'openssh-server',
      'passwd',
    ],
    ours,
  ),
];
