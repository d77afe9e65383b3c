import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command, must } from '../../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../../helpers/installed-machine.ts';
import { type Wire, wireOf } from '../../helpers/wire.ts';

// Whoever is the user byteback, outside of the jail, beside root's helpers.

let machine: InstalledMachine;
let alice: TestClient;
let wire: Wire;
let snapshot: string;
let files: Record<string, string>;
const helper = '/usr/lib/byteback/byteback-snapshot';
const as = (before: readonly string[], request: unknown) =>
  command(
    ['setpriv', '--reuid=byteback', '--regid=byteback', '--clear-groups', '--', ...before, 'sudo', '-n', helper],
    { input: JSON.stringify(request) },
  );
const eventsFile = '/byteback/.byteback/events.jsonl';
const state = async () =>
  JSON.parse(await readFile('/byteback/.byteback/clients/alice.example.json', 'utf8')) as {
    lastProven?: { files: number; bytes: number; drawnFiles: number; draws: number };
  };
interface Opened {
  ok: boolean;
  drill: string;
  files: { path: string }[];
}

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  alice = await machine.client('alice.example');
  wire = wireOf(machine, alice);
  const tree = join(machine.disk, 'tree');
  await mkdir(tree);
  files = { empty: '' };
  for (let at = 0; at < 30; at += 1) files[`file-${at}`] = `content ${at}\n`;
  for (const [name, content] of Object.entries(files)) await writeFile(join(tree, name), content);
  await writeFile(join(alice.configDir, 'client.toml'), `\nsource = ["${tree}"]\n`, { flag: 'a' });
  expect(await alice.run('byteback-backup')).toExitWith(0);
  [snapshot = ''] = await machine.snapshots('alice.example');
}, 300_000);

afterAll(async () => {
  await machine?.dispose();
});

it('TO01 nobody is proven by one empty file, nor by an answer that the client did not sign', async () => {
  const digest = async (path: string) =>
    (await must(['sha256sum', join(alice.place, 'snapshots', snapshot, 'fs', path)])).stdout.slice(0, 64);
  // The client says that all but one has changed: with its own key, and its own signature.
  const opened = (await wire.reply('drill', '')) as unknown as Opened;
  expect(opened.files).toHaveLength(31);
  const empty = opened.files.find(({ path }) => path.endsWith('/empty'))?.path ?? '';
  const little = opened.files.map(({ path }) => ({ path, sha256: null as string | null }));
  for (const answer of little) if (answer.path === empty) answer.sha256 = await digest(empty);
  expect(await wire.reply('proof', { drill: opened.drill, files: little })).toMatchObject({
    ok: true,
    files: 1,
    proven: false,
    why: 'only 1 of 31 files could be compared, and at least half must be equal',
  });
  expect((await state()).lastProven).toBeUndefined();

  // Whoever is the user byteback can read what is right, and chooses nothing of what is drawn.
  const chosen = {
    snapshot,
    files: [{ path: empty, sizeBytes: 0, mtime: '0.000000000', sha256: await digest(empty) }],
  };
  expect(await as([], { verb: 'drill', client: 'alice.example', drawn: chosen })).toExitWith(2);
  const drawn = JSON.parse((await as([], { verb: 'drill', client: 'alice.example' })).stdout) as Opened;
  const right = await Promise.all(drawn.files.map(async ({ path }) => ({ path, sha256: await digest(path) })));
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(machine.scratch, 'other')]);
  const text = [
    'byteback proof 1',
    'alice.example',
    drawn.drill,
    ...right.map((each) => `${each.sha256} ${each.path}`),
    '',
  ];
  const { stdout: signature } = await must(
    ['ssh-keygen', '-q', '-Y', 'sign', '-f', join(machine.scratch, 'other'), '-n', 'proof@byteback'],
    { input: text.join('\n') },
  );
  for (const further of [{}, { signature: 'rubbish' }, { signature }]) {
    const { drill } = JSON.parse((await as([], { verb: 'drill', client: 'alice.example' })).stdout) as Opened;
    const request = { drill, files: right, ...further };
    const told = JSON.parse((await as([], { verb: 'proof', client: 'alice.example', request })).stdout) as object;
    expect(told).toMatchObject({ ok: true, files: 31, wrong: [], proven: false });
    expect((await state()).lastProven).toBeUndefined();
  }

  // The client itself is, and its figures and the draws that proved nothing stand beside it.
  expect(await alice.run('byteback', 'drill')).toExitWith(0);
  expect((await state()).lastProven).toMatchObject({ files: 31, drawnFiles: 31, draws: 6 });
});

it('TO02 an event is one line, whoever words it, and nothing in it steers a terminal', async () => {
  const { machineId } = JSON.parse(await readFile('/byteback/.byteback/clients/alice.example.json', 'utf8')) as {
    machineId: string;
  };
  const run = await wire.prepare(machineId);
  const forged = `x\n{"at":"2026-01-01T00:00:00.000Z","kind":"drill","what":"forged"}\n\x1b[2J\u202e`;
  const failure = { ok: false, exit: 'storeFull', what: forged, why: forged };
  await as([], { verb: 'event', client: 'alice.example', run, exitCode: 1, failure });
  const { stdout } = await must(['byteback', 'events']);
  expect(stdout).toContain('forged');
  expect(stdout).not.toMatch(/^\{"at"/m);
  expect(stdout).not.toMatch(/[\x1b\u202e]/);
  const stored = await readFile(eventsFile, 'utf8');
  expect(stored.split('\n').filter((line) => line.includes('forged'))).toHaveLength(1);
  expect(stored).not.toMatch(/\\n|\\u001b|\u202e/);
});

it('TO03 no limit of the caller hides an event, and none is hidden behind half a line', async () => {
  const lines = async () => (await readFile(eventsFile, 'utf8')).split('\n');
  const refusal = (what: string) => ({ verb: 'refusal', client: 'alice.example', check: 'command', what });
  const { length } = await readFile(eventsFile);
  // CAP_SYS_RESOURCE
  const mayLift = /^CapEff:\s*[0-9a-f]*[13579bdf][0-9a-f]{6}$/m.test(await readFile('/proc/self/status', 'utf8'));
  for (const limit of ['--fsize', '--cpu', '--as', '--data', '--nofile']) {
    const value = { '--fsize': length + 20, '--cpu': 1, '--as': 300_000_000, '--data': 60_000_000, '--nofile': 24 }[
      limit
    ];
    const asked = await as(['prlimit', `${limit}=${value}:${value}`], refusal(`limited by ${limit}`));
    // Root lifts it; where root may not, as in a container, nothing is done at all.
    if (mayLift) expect(asked, limit).toExitWith(0);
    else if (limit !== '--nofile')
      expect(JSON.parse(asked.stdout), limit).toMatchObject({ ok: false, exit: 'refused' });
  }
  await writeFile(eventsFile, '{"at":"2026-', { flag: 'a' });
  expect(await as([], { ...refusal('after half a line'), check: 'run' })).toExitWith(0);
  const told = (await lines()).flatMap((line) => {
    try {
      return [JSON.parse(line) as { what?: string }];
    } catch {
      return [];
    }
  });
  if (mayLift) expect(told.map(({ what }) => what)).toContain('limited by --fsize');
  expect(told.map(({ what }) => what)).toContain('after half a line');
});

it('TO04 whoever says that all of a client is being read keeps three of its snapshots for a day', async () => {
  for (let count = 0; count < 7; count += 1) expect(await alice.run('byteback-backup')).toExitWith(0);
  const reading = (name: string, client = 'alice.example') => as([], { verb: 'reading', client, snapshot: name });
  const names = await machine.snapshots('alice.example');
  for (const name of names) expect(await reading(name)).toExitWith(0);
  // What is no snapshot is not recorded; what is no name is refused.
  expect(await reading('2001-01-01T000000Z')).toExitWith(0);
  expect(await reading('../../../etc')).toExitWith(2);
  expect(await reading(snapshot, 'nobody.example')).toExitWith(0);
  const file = join(alice.place, 'reading.json');
  const { snapshots } = JSON.parse(await readFile(file, 'utf8')) as { snapshots: { name: string }[] };
  expect(snapshots.map(({ name }) => name).toSorted()).toEqual(names);
  const { stdout } = await command(['byteback-prune', '--list', '--json']);
  const { decisions } = JSON.parse(stdout) as { decisions: { snapshot: string; because: string; verdict: string }[] };
  expect(decisions.filter(({ because }) => because === 'read')).toHaveLength(3);
  const others = decisions.filter(({ because }) => !['read', 'newest', 'held'].includes(because));
  expect(others.map(({ verdict }) => verdict)).toContain('pruned');
  expect(others.map(({ verdict }) => verdict)).not.toContain('kept');
  const planted = ['setpriv', '--reuid=byteback', '--regid=byteback', '--clear-groups', 'tee', file];
  expect((await command(planted, { input: 'x' })).exitCode).not.toBe(0);
});
