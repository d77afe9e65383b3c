/**
 * `npm run build`: bundles the sources into lib/byteback at the root of the checkout, which has the shape that
 * /usr/lib/byteback has once installed. Readable on purpose (not minified): an admin may look at what root runs.
 */
import crypto from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { commands } from '../src/cli/commands.ts';

const root = join(import.meta.dirname, '..');
const lib = join(root, 'lib/byteback');
/** Built beside it and then put in its place, so that a build never pulls the files from under a running byteback. */
const building = join(root, `lib/building.${process.pid}`);

/** The command line is split, so that only the command that runs is loaded. */
const commandLine = { cli: 'src/cli/main.ts' };
/**
 * The others are one file each, whatever they share: a file to load costs half a millisecond, and a backup starts six of
 * these.
 */
const single = {
  receive: 'src/cli/receive.ts',
  'after-run': 'src/cli/after-run.ts',
  snapshot: 'src/cli/snapshot.ts',
  register: 'src/cli/register.ts',
  jailed: 'src/cli/jailed.ts',
  local: 'src/cli/local.ts',
};

/** What oclif loads only to find plugins, to end a program of its own, to draw a spinner, to debug itself, to fill in help. */
const notUsed: Readonly<Record<string, string>> = {
  '@oclif/core/lib/config/index.js': '',
  '@oclif/core/lib/config/ts-path.js': '',
  '@oclif/core/lib/module-loader.js': '',
  '@oclif/core/lib/errors/handle.js': '',
  '@oclif/core/lib/ux/action/spinner.js': 'module.exports = class {};',
  'debug/src/index.js': 'module.exports = () => () => undefined;',
  'ejs/lib/cjs/ejs.js': '',
};
const withoutTheUnused: Plugin = {
  name: 'without the unused',
  setup(bundler) {
    for (const [path, contents] of Object.entries(notUsed)) {
      const filter = new RegExp(`/node_modules/${path.replaceAll('.', '\\.')}$`);
      bundler.onLoad({ filter }, () => ({ contents, loader: 'js' }));
    }
  },
};

/**
 * Node takes 4 ms to load its cryptography, and most starts draw no random number and hash nothing: these are its
 * functions, each of which loads it when it is first called.
 */
const lateCryptography: Plugin = {
  name: 'late cryptography',
  setup(bundler) {
    const names = Object.entries(crypto).flatMap(([name, value]) =>
      typeof value === 'function' && /^[a-z]/.test(name) ? [name] : [],
    );
    bundler.onResolve({ filter: /^node:crypto$/ }, ({ importer }) =>
      importer.startsWith(join(root, 'src/')) ? { path: 'node:crypto', namespace: 'late' } : undefined,
    );
    bundler.onLoad({ filter: /.*/, namespace: 'late' }, () => ({
      contents: names
        .map(
          (name) => `export const ${name} = (...given) => process.getBuiltinModule('node:crypto').${name}(...given);`,
        )
        .join('\n'),
    }));
  },
};

const options = {
  absWorkingDir: root,
  outdir: building,
  outExtension: { '.js': '.mjs' },
  chunkNames: 'parts/[name]-[hash]',
  bundle: true,
  format: 'esm',
  platform: 'node',
  // Of modules only what is used is taken.
  mainFields: ['module', 'main'],
  target: 'node24',
  charset: 'utf8',
  plugins: [withoutTheUnused, lateCryptography],
  // Some dependencies are CommonJS and ask for Node's own modules with require().
  banner: {
    js: "import { createRequire as createRequireOfBundle } from 'node:module';\nconst require = createRequireOfBundle(import.meta.url);",
  },
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
} as const satisfies BuildOptions;

async function bundle(): Promise<void> {
  const results = await Promise.all([
    build({ ...options, entryPoints: commandLine, splitting: true }),
    build({ ...options, entryPoints: single }),
  ]);
  // What the package must carry a licence for.
  await writeFile(
    join(root, 'lib/bundled.json'),
    `${JSON.stringify(bundledPackages(results.flatMap(({ metafile }) => Object.keys(metafile.inputs))))}\n`,
  );
}

/** The directories of the packages that a list of bundled files comes from, relative to the root. */
function bundledPackages(inputs: readonly string[]): string[] {
  const packages = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  return [...new Set(packages)].toSorted();
}

async function copyLaunchers(): Promise<void> {
  const from = join(root, 'packaging/launchers');
  for (const name of await readdir(from)) {
    await copyFile(join(from, name), join(building, name));
    await chmod(join(building, name), 0o755);
  }
}

/** What set-up fills in and installs. */
async function copyTemplates(): Promise<void> {
  await mkdir(join(building, 'templates'));
  await copyFile(join(root, 'sudoers/byteback'), join(building, 'templates/sudoers'));
  // Which commands fill-cache compiles.
  await writeFile(join(building, 'templates/commands'), commands.map(({ id }) => `${id}\n`).join(''));
}

async function putInPlace(): Promise<void> {
  const old = join(root, `lib/old.${process.pid}`);
  if (existsSync(lib)) await rename(lib, old);
  await rename(building, lib);
  await rm(old, { recursive: true, force: true });
}

await mkdir(join(building, 'home'), { recursive: true });
try {
  await bundle();
  await copyLaunchers();
  await copyTemplates();
  await symlink(relative(building, process.execPath), join(building, 'node'));
  await putInPlace();
} finally {
  await rm(building, { recursive: true, force: true });
}
console.log(`built ${relative(root, lib)}`);
