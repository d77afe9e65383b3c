import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// A real prune beside real restores: what is being read is pruned last, and not before a day has passed.

const mebibyte = 1024 * 1024;
const dayMs = 86_400_000;
let machine: InstalledMachine;
let client: TestClient;
let tree = '';
let names: string[] = [];
const copies = new Map<string, string>();

async function setSpeed(line: string): Promise<void> {
  const file = `${client.configDir}/client.toml`;
  await writeFile(file, `${(await readFile(file, 'utf8')).replace(/^bwlimit.*\n/m, '')}${line}`);
}

async function backUp(): Promise<void> {
  await setSpeed('');
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
  names = await machine.snapshots('web1');
  const name = names.at(-1) ?? '';
  const copy = `${machine.disk}/copy-${name}`;
  await must(['cp', '-a', tree, copy]);
  copies.set(name, copy);
}

/** Each snapshot has 12 MiB that no other has, and a file that all of them have from the second on. */
async function backUpAgain(): Promise<void> {
  await writeFile(join(tree, 'page'), `one of ${copies.size}\n`);
  for (let at = 0; at < 4; at += 1) await writeFile(join(tree, `large ${at}`), randomBytes(3 * mebibyte));
  await backUp();
}

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  client = await machine.client('web1');
  await appendFile(`${client.configDir}/client.toml`, 'retry_delay = "1s"\n');
  tree = `${machine.disk}/tree`;
  await mkdir(tree);
  // So that what changes is the smaller part: a client that rewrites everything is not pruned.
  await writeFile(join(tree, 'base'), randomBytes(30 * mebibyte));
  for (let count = 0; count < 6; count += 1) await backUpAgain();
}, 600_000);
afterEach(async () => {
  await rm(`${machine.disk}/out`, { recursive: true, force: true });
  await rm(recordFile, { force: true });
});
afterAll(async () => {
  await machine?.dispose();
});

interface Decision {
  snapshot: string;
  verdict: string;
  because: string;
  reason: string;
}
interface Plan {
  reachableBytes: number;
  decisions: Decision[];
}

async function plan(...words: string[]): Promise<Plan> {
  return JSON.parse((await command(['byteback-prune', ...words, '--json'])).stdout) as Plan;
}

/** Prunes everything that may go. What a deletion frees is known afterwards only, so that one prune may not be enough. */
async function pruneAll(): Promise<void> {
  for (let count = 0; count < 12; count += 1) {
    if (!(await plan('--list')).decisions.some(({ verdict }) => verdict === 'pruned')) return;
    const { reachableBytes } = await plan('--dry-run', '--free', '99%');
    const { exitCode, stderr } = await command(['byteback-prune', '--free', String(reachableBytes - 1_000_000)]);
    expect([0, 13], stderr).toContain(exitCode);
  }
}

/** Slow enough that there is time for a prune beside it. */
async function restore(snapshot: string, to: string, ...further: string[]) {
  await setSpeed('bwlimit = "3M"\n');
  return begin(snapshot, to, ...further);
}

async function restoreFast(snapshot: string, to: string, ...further: string[]) {
  await setSpeed('');
  return await begin(snapshot, to, ...further).ended;
}

function begin(snapshot: string, to: string, ...further: string[]) {
  const argv = ['-r', '--snapshot', snapshot, '--to', to, ...further];
  const child = spawn('byteback-restore', argv, {
    env: { ...process.env, ...client.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  const ended = once(child, 'close').then(() => ({ exitCode: child.exitCode, said }));
  return { child, ended };
}

const recordFile = '/byteback/clients/web1/reading.json';
interface Recorded {
  snapshots: { name: string; since: number; last: number }[];
}
const recorded = async () =>
  (JSON.parse(await readFile(recordFile, 'utf8').catch(() => '{"snapshots":[]}')) as Recorded).snapshots;

/** Waits until its reading is recorded by the server. */
async function isBeingRead(snapshot: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if ((await recorded()).some(({ name }) => name === snapshot)) return;
    await sleep(100);
  }
  throw new Error(`${snapshot} is not being read: ${JSON.stringify(await recorded())}`);
}

/** As if it had begun, and last been seen, so much longer ago. */
async function age(sinceMs: number, lastMs: number): Promise<void> {
  const snapshots = (await recorded()).map(({ name, since, last }) => ({
    name,
    since: since - sinceMs,
    last: last - lastMs,
  }));
  await writeFile(recordFile, JSON.stringify({ format: 1, snapshots }));
}

it('a snapshot that is being read stays when all others go, and its restore is whole', async () => {
  const [oldest = '', ...rest] = names;
  const out = `${machine.disk}/out`;
  const { ended } = await restore(oldest, out, '--all-files');
  await isBeingRead(oldest);
  const listed = await plan('--list');
  expect(listed.decisions.find(({ snapshot }) => snapshot === oldest)).toMatchObject({
    verdict: 'kept',
    because: 'read',
    reason: expect.stringMatching(/^being read since \d{4}-\d\d-\d\dT\d\d:\d\dZ$/),
  });
  expect((await command(['byteback-prune', '--list'])).stdout).toMatch(new RegExp(`web1 +${oldest} +being read since`));
  await pruneAll();
  expect(await machine.snapshots('web1')).toEqual([oldest, ...rest.slice(-3)]);
  const { exitCode, said } = await ended;
  expect(exitCode, said).toBe(0);
  expect(await compareTrees(copies.get(oldest) ?? '', `${out}${tree}`)).toEqual([]);
  const year = new Date().toISOString().slice(0, 4);
  const ledger = await readFile(`/byteback/.byteback/ledger/${year}.jsonl`, 'utf8');
  expect(ledger).toMatch(new RegExp(`"event":"read","client":"web1","snapshot":"${oldest}","why":"being read since`));
}, 300_000);

it('a restore that is interrupted for an hour finds its snapshot, and goes on', async () => {
  for (let count = 0; count < 2; count += 1) await backUpAgain();
  const read = names[1] ?? '';
  const out = `${machine.disk}/out`;
  const first = await restore(read, out, '--all-files');
  await isBeingRead(read);
  first.child.kill('SIGKILL');
  await first.ended;
  await command(['pkill', '-KILL', '-u', 'byteback']);
  await age(3_600_000, 3_600_000);
  await pruneAll();
  expect(await machine.snapshots('web1')).toContain(read);
  const { exitCode, said } = await restoreFast(read, out, '--all-files');
  expect(exitCode, said).toBe(0);
  expect(await compareTrees(copies.get(read) ?? '', `${out}${tree}`)).toEqual([]);
}, 300_000);

it.each(['everything', 'one path'])(
  'after a day it goes, last, and the restore of %s says what to do',
  async (what) => {
    for (let count = 0; count < 3; count += 1) await backUpAgain();
    const [read = '', next = ''] = names;
    const out = `${machine.disk}/out`;
    const words = what === 'everything' ? ['--all-files'] : [tree];
    const { ended } = await restore(read, out, ...words);
    await isBeingRead(read);
    await age(dayMs, 0);
    const going = (await plan('--list')).decisions.filter(({ verdict }) => verdict === 'pruned');
    expect(going.at(-1)).toMatchObject({ snapshot: read, reason: expect.stringContaining('being read since') });
    await pruneAll();
    const left = await machine.snapshots('web1');
    expect(left).not.toContain(read);
    expect(left).not.toContain(next);
    const { exitCode, said } = await ended;
    expect(said).toContain(`snapshot ${read} was pruned on the server before all of it was restored`);
    expect(said).toContain(`what came so far is in ${out}, and is not complete`);
    expect(said).toContain(`${left[0]} has it: give the same command with --snapshot ${left[0]} --overwrite`);
    expect(said).not.toContain('refused');
    expect(exitCode).toBe(3);
    const again = await restoreFast(left[0] ?? '', out, ...words, '--overwrite');
    expect(again.exitCode, again.said).toBe(0);
    expect(await compareTrees(copies.get(left[0] ?? '') ?? '', `${out}${tree}`)).toEqual([]);
  },
  300_000,
);

it('a damaged record is put aside with an event, and a restore records anew', async () => {
  const [read = ''] = names.slice(-1);
  await writeFile(recordFile, 'rubbish');
  expect((await restoreFast(read, `${machine.disk}/out`, join(tree, 'page'))).exitCode).toBe(0);
  await isBeingRead(read);
  expect((await must(['byteback', 'events'])).stdout).toContain(`${recordFile} was damaged and is begun anew`);
}, 120_000);
