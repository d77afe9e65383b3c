import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { editTree, randomFrom } from '../helpers/random-edits.ts';

// A restore that ends with 0 is equal to the snapshot: random trees, at a terminal and through a pipe, cut and killed at random
// moments, and the same command given again. `npm run test:restores -- --runs 500` for more of it.
const runs = Number(process.env['BYTEBACK_RESTORE_RUNS'] ?? 8);
const loops = Number(process.env['BYTEBACK_RESTORE_LOOPS'] ?? 3);
const seed = Number(process.env['BYTEBACK_RESTORE_SEED'] ?? Date.now() % 1_000_000);
const random = randomFrom(seed);
const below = (limit: number) => Math.floor(random() * limit);
const oneOf = <T>(list: readonly [T, ...T[]]): T => list[below(list.length)] ?? list[0];

let machine: InstalledMachine;
let client: TestClient;
let tree = '';
let judge = '';

/** A tree of everything, with a few dozen files of more than 1 MiB among small ones. */
async function makeTree(): Promise<void> {
  await rm(tree, { recursive: true, force: true });
  await rm(judge, { recursive: true, force: true });
  await mkdir(`${tree}/many/empty`, { recursive: true });
  for (let at = 0; at < 200; at += 1) writeFileSync(`${tree}/many/small ${at}`, 'x'.repeat(below(9000)));
  for (let at = 0; at < 24; at += 1)
    writeFileSync(`${tree}/many/large ${at}`, Buffer.alloc(1_048_576 + below(1_500_000), `${random()}`));
  await must(['truncate', '--size', '6M', `${tree}/many/holes`]);
  await must(['mkfifo', `${tree}/many/fifo`]);
  await must(['mknod', `${tree}/many/null`, 'c', '1', '3']);
  await must(['ln', `${tree}/many/large 0`, `${tree}/large again`]);
  await editTree(tree, random, 150);
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
  await must(['cp', '-a', '--sparse=auto', tree, judge]);
}

beforeAll(async () => {
  console.log(`seed: BYTEBACK_RESTORE_SEED=${seed}`);
  machine = await installedMachine();
  client = await machine.client('web1');
  await appendFile(`${client.configDir}/client.toml`, 'retry_delay = "1s"\n');
  tree = `${machine.disk}/tree`;
  judge = `${machine.disk}/judge`;
  await makeTree();
}, 300_000);
afterAll(async () => {
  await machine?.dispose();
});

const words = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** One attempt; `cut` is called while it runs. */
async function attempt(
  argv: readonly string[],
  atTerminal: boolean,
  cut: (pid: number) => Promise<void>,
): Promise<{ exitCode: number; said: string }> {
  const called = atTerminal ? ['script', '-qec', argv.map(words).join(' '), '/dev/null'] : argv;
  const child = spawn(called[0] ?? '', called.slice(1), {
    env: { ...process.env, ...client.env, LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  const ended = once(child, 'close');
  await cut(child.pid ?? 0);
  await ended;
  return { exitCode: child.exitCode ?? 128, said };
}

function descendantsOf(pid: number): number[] {
  const found = [pid];
  for (const each of found) {
    try {
      for (const thread of readdirSync(`/proc/${each}/task`))
        found.push(
          ...readFileSync(`/proc/${each}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
        );
    } catch {
      // It has ended.
    }
  }
  return found;
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function send(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined && pid > 1) process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/** Something that goes wrong at a random moment. */
async function goWrong(pid: number): Promise<string> {
  await sleep(below(oneOf([300, 1000, 2500])));
  const own = descendantsOf(pid).filter((each) => !['script', 'sh'].includes(nameOf(each)));
  const command_ = own.find((each) => !['ssh', 'rsync', 'setpriv'].includes(nameOf(each)));
  switch (below(4)) {
    case 0:
      send(command_, 'SIGINT');
      return 'Ctrl-C';
    case 1:
      send(command_, 'SIGKILL');
      return 'kill of the command';
    case 2: {
      const victim = own[below(own.length)];
      const name = nameOf(victim ?? 0);
      send(victim, 'SIGKILL');
      return `kill of ${name}`;
    }
    default: {
      const { stdout } = await command(['pgrep', '-u', 'byteback']);
      const pids = stdout.split('\n').filter(Boolean).map(Number);
      const victim = pids[below(pids.length)];
      const name = nameOf(victim ?? 0);
      send(victim, 'SIGKILL');
      return `kill of the server's ${name}`;
    }
  }
}

it(`${loops} restores of everything at a terminal are complete`, async () => {
  const out = `${machine.disk}/all`;
  for (let loop = 0; loop < loops; loop += 1) {
    await rm(out, { recursive: true, force: true });
    const argv = ['byteback-restore', '-r', '--all-files', '--to', out];
    const { exitCode, said } = await attempt(argv, true, async () => undefined);
    expect(exitCode, said).toBe(0);
    expect(await compareTrees(judge, `${out}${tree}`), `loop ${loop}: ${said}`).toEqual([]);
  }
  console.log(`${loops} loops at a terminal: all complete`);
  await rm(out, { recursive: true, force: true });
}, 3_600_000);

it(`${runs} restores that are cut go on, and are equal to the snapshot when they end with 0`, async () => {
  const figures = { attempts: 0, cuts: 0, ends: 0 };
  for (let run = 0; run < runs; run += 1) {
    if (run % 20 === 19) await makeTree();
    const out = `${machine.disk}/out-${run}`;
    const atTerminal = random() < 0.6;
    const atServer = random() < 0.2;
    const argv = [
      'byteback-restore',
      '-r',
      ...(atServer ? ['--client', 'web1', '--privileged'] : []),
      ...(random() < 0.5 ? ['--all-files'] : ['--snapshot', 'latest', tree]),
      ...['--to', out],
      ...(random() < 0.3 ? ['--overwrite'] : []),
    ];
    const told: string[] = [`seed ${seed}, run ${run}, ${atTerminal ? 'terminal' : 'pipe'}: ${argv.join(' ')}`];
    const cuts = below(4);
    let ended = -1;
    for (let at = 0; ended !== 0 && at < cuts + 3; at += 1) {
      const { exitCode, said } = await attempt(argv, atTerminal, async (pid) => {
        if (at < cuts) told.push(await goWrong(pid));
      });
      figures.attempts += 1;
      ended = exitCode;
      told.push(`exit ${exitCode}: ${said}`);
      expect(said, told.join('\n')).not.toContain('is there already');
      expect(exitCode, told.join('\n')).not.toBe(2);
      if (exitCode === 0) {
        expect(await compareTrees(judge, `${out}${tree}`), told.join('\n')).toEqual([]);
        figures.ends += 1;
      }
    }
    figures.cuts += cuts;
    if (run % 25 === 24) console.log(`${run + 1} runs: ${JSON.stringify(figures)}`);
    expect(ended, told.join('\n')).toBe(0);
    await rm(out, { recursive: true, force: true });
  }
  console.log(`${runs} runs: ${JSON.stringify(figures)}`);
}, 36_000_000);

it.each([
  ['everything', ['--all-files']],
  ['what is named', []],
])(
  'a restore of %s that was cut goes on with its snapshot, though there is a newer one by then',
  async (_, how) => {
    await makeTree();
    const out = `${machine.disk}/out-newer`;
    const argv = ['byteback-restore', '-r', ...how, ...(how.length === 0 ? [tree] : []), '--to', out];
    const { exitCode } = await attempt(argv, false, async (pid) => {
      // Until something has come.
      for (let i = 0; i < 400 && (await command(['find', out, '-type', 'f', '-size', '+0'])).stdout === ''; i += 1)
        await sleep(10);
      for (const each of descendantsOf(pid)) send(each, 'SIGKILL');
    });
    expect(exitCode).not.toBe(0);
    await editTree(tree, random, 30);
    await client.run('byteback-backup', '--source', tree);
    const again = await attempt(argv, false, async () => undefined);
    expect(again.exitCode, again.said).toBe(0);
    expect(again.said).toMatch(/going on with .*, which this restore was begun with; .* is newer/);
    expect(await compareTrees(judge, `${out}${tree}`), again.said).toEqual([]);
    await rm(out, { recursive: true, force: true });
  },
  120_000,
);
