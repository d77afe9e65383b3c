/**
 * `npm run build`: bundles the sources into lib/byteback at the root of the checkout, which has the shape that
 * /usr/lib/byteback has once installed. Readable on purpose (not minified): an admin may look at what root runs.
 */
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { build } from 'esbuild';
import { commands } from '../src/cli/commands.ts';

const root = join(import.meta.dirname, '..');
const lib = join(root, 'lib/byteback');
/** Built beside it and then put in its place, so that a build never pulls the files from under a running byteback. */
const building = join(root, `lib/building.${process.pid}`);

/** What is executed. The parts they share are split off, so that a receive session never loads the command line. */
const entryPoints = {
  cli: 'src/cli/main.ts',
  receive: 'src/cli/receive.ts',
  'after-run': 'src/cli/after-run.ts',
  snapshot: 'src/cli/snapshot.ts',
  register: 'src/cli/register.ts',
  jailed: 'src/cli/jailed.ts',
  local: 'src/cli/local.ts',
};

async function bundle(): Promise<void> {
  const missing = Object.entries(entryPoints).filter(([, source]) => !existsSync(join(root, source)));
  for (const [name] of missing) console.warn(`not built yet: ${name}`);
  const result = await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(Object.entries(entryPoints).filter(([, source]) => existsSync(join(root, source)))),
    outdir: building,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'parts/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    charset: 'utf8',
    // Some dependencies are CommonJS and ask for Node's own modules with require().
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module';\nconst require = createRequireOfBundle(import.meta.url);",
    },
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  // What the package must carry a licence for.
  await writeFile(
    join(root, 'lib/bundled.json'),
    `${JSON.stringify(bundledPackages(Object.keys(result.metafile.inputs)))}\n`,
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
