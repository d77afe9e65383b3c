/**
 * `npm run bench:start`: how long each executable takes from its start to its end when there is next to nothing to do, as
 * installed: with what is compiled ready (fill-cache). The least of many starts counts, taken in turns: what else a busy
 * machine does only ever adds. Exits 1 when one takes more than 60 ms, on a machine on which bare Node takes 20; on a
 * slower one the bound grows with it.
 */
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

const boundMs = 60;
const bareMs = 20;
const rounds = 40;
const root = join(import.meta.dirname, '..');

/** A copy of the built tree, so that its cache does not stand in the checkout. */
async function install(): Promise<string> {
  const place = await mkdtemp('/var/tmp/byteback-start-');
  for (const part of ['lib', 'bin'])
    await cp(join(root, part), join(place, part), { recursive: true, verbatimSymlinks: true });
  await rm(join(place, 'lib/byteback/node'));
  await cp(process.execPath, join(place, 'lib/byteback/node'));
  const filled = spawnSync(join(place, 'lib/byteback/fill-cache'), { stdio: 'inherit' });
  if (filled.status !== 0) throw new Error('fill-cache failed');
  return place;
}

/** One start, in milliseconds. */
function timed(argv: readonly string[], env: Readonly<Record<string, string>>): number {
  const startedAt = performance.now();
  spawnSync(argv[0] ?? '', argv.slice(1), { stdio: 'ignore', env });
  return performance.now() - startedAt;
}

const place = await install();
try {
  const lib = join(place, 'lib/byteback');
  const env = {
    PATH: '/usr/bin:/bin',
    BYTEBACK_CONFIG_DIR: join(place, 'none'),
    BYTEBACK_STATE_DIR: join(place, 'none'),
  };
  const node = [join(lib, 'node'), '--disable-warning=ExperimentalWarning'];
  const cached = { ...env, NODE_COMPILE_CACHE: join(lib, 'cache') };
  const programs = (await readdir(join(place, 'bin'))).toSorted();
  const cases: readonly (readonly [name: string, argv: readonly string[], env: Readonly<Record<string, string>>])[] = [
    ['bare node', [...node, '-e', '0'], env],
    ...programs.map((name) => [`${name} --help`, [join(place, 'bin', name), '--help'], env] as const),
    ['byteback --version', [join(place, 'bin/byteback'), '--version'], env],
    ['byteback status', [join(place, 'bin/byteback'), 'status'], env],
    // Their launchers name /usr/lib; the argument is refused once all is loaded.
    ...['receive', 'snapshot', 'register'].map(
      (name) => [`byteback-${name}`, [...node, join(lib, `${name}.mjs`), 'argument'], cached] as const,
    ),
  ];
  const least = cases.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, [, argv, environment]] of cases.entries())
      least[index] = Math.min(least[index] ?? 0, timed(argv, environment));
  }
  const [bare = bareMs, ...others] = least;
  const bound = boundMs * Math.max(1, bare / bareMs);
  for (const [index, [name]] of cases.entries()) {
    const ms = least[index] ?? 0;
    console.log(
      `${name.padEnd(30)} ${ms.toFixed(0).padStart(4)} ms${ms > bound ? `  more than ${bound.toFixed(0)}` : ''}`,
    );
  }
  if (others.some((ms) => ms > bound)) process.exitCode = 1;
} finally {
  await rm(place, { recursive: true });
}
