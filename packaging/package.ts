/**
 * `npm run package`: builds what a user installs, from a fresh build.
 * The same commit gives the same bytes: every time in a package is that of the last commit, every file is root's.
 */
import { cp, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ProgramError, run } from '../src/system/run.ts';
import { version } from '../src/version.ts';
import { copyrightOfByteback, copyrightOfRuntime } from './copyright.ts';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const homepage = 'https://byteback.invalid';
const maintainer = 'The byteback contributors <maintainers@byteback.invalid>';
const architecture = process.arch === 'x64' ? 'amd64' : 'arm64';

interface Package {
  readonly name: string;
  readonly architecture: string;
  readonly summary: string;
  /** Paragraphs of the long description. */
  readonly description: readonly string[];
  readonly depends: readonly string[];
  readonly recommends?: readonly string[];
  readonly copyright: string;
  /** Puts the package's own files into the tree. */
  fill(tree: string): Promise<void>;
}

const packages: readonly Package[] = [
  {
    name: 'byteback',
    architecture: 'all',
    summary: 'backups that look after themselves',
    description: [
      'byteback keeps the files of many Linux machines as plain files in read-only btrfs snapshots on one server. ' +
        'The machines push their files by rsync over ssh; the server keeps as much history as its disk holds.',
      'One command sets up a server, one command sets up a client.',
    ],
    // One package serves both sides, so it brings what both need; only a server needs the last of them, an sshd.
    depends: [
      `byteback-runtime (= ${version})`,
      'rsync (>= 3.2.3)',
      'openssh-client',
      'util-linux (>= 2.30)',
      'btrfs-progs',
      // Since 0.8 it can close the door behind it: --disable-userns.
      'bubblewrap (>= 0.8.0)',
      // getfattr: owners and modes of versions, as rsync recorded them.
      'attr',
      'sudo',
      'passwd',
    ],
    recommends: ['openssh-server'],
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
];

async function copyInto(from: string, to: string, dereference = false): Promise<void> {
  await mkdir(join(to, '..'), { recursive: true });
  await cp(from, to, { recursive: true, dereference });
}

async function fillByteback(tree: string): Promise<void> {
  const lib = join(root, 'lib/byteback');
  for (const name of await readdir(lib)) {
    if (name !== 'node') await copyInto(join(lib, name), join(tree, 'usr/lib/byteback', name));
  }
  await copyInto(join(root, 'bin'), join(tree, 'usr/bin'));
  await copyInto(join(root, 'systemd'), join(tree, 'usr/lib/systemd/system'));
  await copyInto(join(root, 'CHANGELOG.md'), join(tree, 'usr/share/doc/byteback/NEWS.md'));
  await copyInto(join(root, 'README.md'), join(tree, 'usr/share/doc/byteback/README.md'));
}

/** The time of everything in the packages, in seconds: the last commit's, or the given one. */
async function sourceDate(): Promise<number> {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined) return Number(given);
  try {
    const { stdout } = await run(['git', 'log', '-1', '--format=%ct'], { cwd: root });
    return Number(stdout.toString());
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    console.warn('no git history here: the packages carry the time of CHANGELOG.md');
    return Math.floor((await stat(join(root, 'CHANGELOG.md'))).mtimeMs / 1000);
  }
}

function controlOf(pkg: Package, installedKilobytes: number): string {
  const fields = [
    ['Package', pkg.name],
    ['Version', version],
    ['Architecture', pkg.architecture],
    ['Maintainer', maintainer],
    ['Installed-Size', String(installedKilobytes)],
    ['Depends', pkg.depends.join(', ')],
    ...(pkg.recommends === undefined ? [] : [['Recommends', pkg.recommends.join(', ')]]),
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

async function writeTree(pkg: Package, tree: string, date: number): Promise<void> {
  await pkg.fill(tree);
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

process.umask(0o022);
const date = await sourceDate();
const work = join(dist, `work.${process.pid}`);
const made: string[] = [];
try {
  for (const pkg of packages) {
    const tree = join(work, pkg.name);
    const name = `${pkg.name}_${version}_${pkg.architecture}.deb`;
    await mkdir(tree, { recursive: true });
    await writeTree(pkg, tree, date);
    // Fast rather than small: the runtime is 35 MB so, and would be 30 MB after half a minute of work.
    await run(['dpkg-deb', '--root-owner-group', '-Zxz', '-z1', '--build', tree, join(work, name)], {
      env: { SOURCE_DATE_EPOCH: String(date) },
      timeoutMs: 300_000,
    });
    await rename(join(work, name), join(dist, name));
    made.push(name);
    console.log(`packaged ${relative(root, join(dist, name))}`);
  }
  // `apt install ./dist/*.deb` must not meet the packages of another version.
  for (const name of await readdir(dist)) {
    if (name.endsWith('.deb') && !made.includes(name)) await rm(join(dist, name));
  }
} finally {
  await rm(work, { recursive: true, force: true });
}
