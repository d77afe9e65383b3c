/**
 * `npm run package`: builds what a user installs, from a fresh build: the Debian packages, and with --tar the same tree
 * as a .tar.gz. The same sources give the same bytes, with or without git and whatever the modes in the checkout: every
 * time in a package is that of the release, every file is root's, every mode is set here.
 */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { run } from '../src/system/run.ts';
import { version } from '../src/version.ts';
import { architecture, type Package, writeControl } from './debian.ts';
import { packages } from './packages.ts';
import { makeTarball } from './tarball.ts';
import { releaseDate, setModes } from './tree.ts';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

process.umask(0o022);
const given = process.env['SOURCE_DATE_EPOCH'];
const date =
  given === undefined ? releaseDate(await readFile(join(root, 'CHANGELOG.md'), 'utf8'), version) : Number(given);
const work = join(dist, `work.${process.pid}`);

/** Made beside the others and then put in its place, so that a half-made package never stands in dist. */
async function makePackage(pkg: Package): Promise<string> {
  const tree = join(work, pkg.name);
  const name = `${pkg.name}_${version}_${pkg.architecture}.deb`;
  await mkdir(tree, { recursive: true });
  await pkg.fill(tree, date);
  await writeControl(pkg, tree, date, root);
  await setModes(tree);
  // Fast rather than small: the runtime is 35 MB so, and would be 30 MB after half a minute of work.
  await run(['dpkg-deb', '--root-owner-group', '-Zxz', '-z1', '--build', tree, join(work, name)], {
    env: { SOURCE_DATE_EPOCH: String(date) },
    timeoutMs: 300_000,
  });
  return name;
}

async function publish(name: string): Promise<string> {
  await rename(join(work, name), join(dist, name));
  console.log(`packaged ${relative(root, join(dist, name))}`);
  return name;
}

try {
  const made: string[] = [];
  for (const pkg of packages) made.push(await publish(await makePackage(pkg)));
  if (process.argv.includes('--tar')) {
    const trees = packages.map(({ name }) => join(work, name));
    made.push(
      await publish(await makeTarball({ trees, work, name: `byteback_${version}_${architecture}`, date, root })),
    );
  }
  // `apt install ./dist/*.deb` must not meet the packages of another version.
  for (const name of await readdir(dist)) {
    if (/\.(?:deb|tar\.gz)$/.test(name) && !made.includes(name)) await rm(join(dist, name));
  }
} finally {
  await rm(work, { recursive: true, force: true });
}
