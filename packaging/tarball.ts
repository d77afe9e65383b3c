import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../src/system/run.ts';
import { copyInto, setModes } from './tree.ts';

/** What the archive is made of. */
interface Tarball {
  /** The trees of the packages; what is only Debian's is left out. */
  readonly trees: readonly string[];
  /** A directory to work in. */
  readonly work: string;
  /** Without .tar.gz; also the directory in the archive. */
  readonly name: string;
  /** Time of all files, in seconds. */
  readonly date: number;
  readonly root: string;
}

/** The tree of the packages as one archive, with a script that installs it. Gives its name in the working directory. */
export async function makeTarball({ trees, work, name, date, root }: Tarball): Promise<string> {
  const top = join(work, name);
  await mkdir(top);
  for (const tree of trees) {
    for (const part of await readdir(tree)) {
      if (part !== 'DEBIAN') await copyInto(join(tree, part), join(top, part));
    }
  }
  await rm(join(top, 'usr/share/lintian'), { recursive: true });
  await copyInto(join(root, 'packaging/install'), join(top, 'install'));
  await copyInto(join(root, 'LICENSE'), join(top, 'LICENSE'));
  await setModes(top);
  const tar = ['--sort=name', '--format=gnu', '--owner=0', '--group=0', '--numeric-owner', `--mtime=@${date}`];
  await run(
    ['tar', ...tar, '-C', work, '--use-compress-program=gzip -1 -n', '-cf', join(work, `${name}.tar.gz`), name],
    {
      timeoutMs: 300_000,
    },
  );
  return `${name}.tar.gz`;
}
