/** The parts of a Debian package that are not the program itself. */
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '../src/system/run.ts';
import { version } from '../src/version.ts';
import { copyInto } from './tree.ts';

const homepage = 'https://byteback.invalid';
const maintainer = 'The byteback contributors <maintainers@byteback.invalid>';
/** Debian's name of the machine that this is built on, and for. */
export const architecture = process.arch === 'x64' ? 'amd64' : 'arm64';

export interface Package {
  readonly name: string;
  readonly architecture: string;
  readonly summary: string;
  /** Paragraphs of the long description. */
  readonly description: readonly string[];
  readonly depends: readonly string[];
  readonly recommends?: readonly string[];
  readonly suggests?: readonly string[];
  readonly copyright: string;
  /** Puts the package's own files into the tree. @param date in seconds. */
  fill(tree: string, date: number): Promise<void>;
}

function controlOf(pkg: Package, installedKilobytes: number): string {
  const list = (name: string, packages: readonly string[] | undefined) =>
    packages === undefined ? [] : [[name, packages.join(', ')]];
  const fields = [
    ['Package', pkg.name],
    ['Version', version],
    ['Architecture', pkg.architecture],
    ['Maintainer', maintainer],
    ['Installed-Size', String(installedKilobytes)],
    ...list('Depends', pkg.depends),
    ...list('Recommends', pkg.recommends),
    ...list('Suggests', pkg.suggests),
    ['Section', 'admin'],
    ['Priority', 'optional'],
    ['Homepage', homepage],
    ['Description', `${pkg.summary}\n${pkg.description.map((text) => wrap(text)).join('\n .\n')}`],
  ];
  return `${fields.map(([name, value]) => `${name}: ${value}`).join('\n')}\n`;
}

/** Debian's form of a long description: lines of at most 79 characters, each behind one space. */
function wrap(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 78) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(` ${word}`);
  }
  return lines.join('\n');
}

/** Debian's form of a changelog; what changed is told in CHANGELOG.md. */
function changelogOf(pkg: Package, date: number): string {
  const when = new Date(date * 1000).toUTCString().replace('GMT', '+0000');
  return `${pkg.name} (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- ${maintainer}  ${when}\n`;
}

/** Writes what Debian asks for beside the files: control, maintainer scripts, copyright, changelog. @param date in seconds. */
export async function writeControl(pkg: Package, tree: string, date: number, root: string): Promise<void> {
  const doc = join(tree, 'usr/share/doc', pkg.name);
  await mkdir(doc, { recursive: true });
  await writeFile(join(doc, 'copyright'), pkg.copyright);
  await writeFile(join(doc, 'changelog.gz'), gzipSync(changelogOf(pkg, date), { level: 9 }));
  const control = join(tree, 'DEBIAN');
  await mkdir(control);
  const debian = join(root, 'packaging/debian');
  for (const name of await readdir(debian)) {
    const part = name.slice(pkg.name.length + 1);
    if (name !== `${pkg.name}.${part}`) continue;
    if (part === 'lintian-overrides')
      await copyInto(join(debian, name), join(tree, 'usr/share/lintian/overrides', pkg.name));
    else await cp(join(debian, name), join(control, part));
  }
  const { stdout } = await run(['du', '-ks', '--apparent-size', '--exclude=DEBIAN', tree]);
  await writeFile(join(control, 'control'), controlOf(pkg, Number.parseInt(stdout.toString(), 10)));
}
