import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command, must } from '../../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../../helpers/installed-machine.ts';
import { type Wire, wireOf } from '../../helpers/wire.ts';

// Names that word a line of a program's output: what byteback reads of other programs, it must not read out of names.

let machine: InstalledMachine;
let alice: TestClient;
let mallory: TestClient;
let wire: Wire;
let tree: string;
const fs = () => join(mallory.place, 'current/fs');
/** Code of an attacker who has taken over the receiving user, outside of any jail. */
const asByteback = (...argv: string[]) =>
  must(['setpriv', '--reuid=byteback', '--regid=byteback', '--clear-groups', '--', ...argv]);
const idOf = async (path: string) => (await must(['btrfs', 'inspect-internal', 'rootid', path])).stdout.trim();

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  alice = await machine.client('alice.example');
  mallory = await machine.client('mallory.example');
  wire = wireOf(machine, mallory);
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'mine\n');
  await wireOf(machine, alice).backUp(`${tree}/`);
}, 300_000);

afterAll(async () => {
  await machine?.dispose();
});

it('FT01 no snapshot is deleted by a number that a directory is named with, and no current', async () => {
  const [its] = await machine.snapshots('alice.example');
  const victims = [
    join(alice.place, 'snapshots', its ?? ''),
    join(alice.place, 'current'),
    join(mallory.place, 'current'),
  ];
  const planted: string[] = [];
  for (const [index, victim] of victims.entries()) {
    const forged = join(fs(), `x\nID ${await idOf(victim)} gen 9 top level 5 path ghost${index}`);
    await asByteback('mkdir', forged);
    for (const name of [
      '2015-01-30T10:20+0000',
      '2015-02-01T03:00+0100',
      '2015-02-02T03:00+0100',
      '2015-02-03T03:00+0100',
    ]) {
      await asByteback('btrfs', 'subvolume', 'create', join(forged, name));
      planted.push(join(forged, name));
    }
    planted.push(forged);
  }
  // The list has the lines: what is tried here can be tried.
  expect((await must(['btrfs', 'subvolume', 'list', '/byteback'])).stdout).toMatch(
    /^ID \d+ gen 9 top level 5 path ghost0\/2015/m,
  );
  expect((await must(['byteback-prune', '--list'])).stdout).not.toContain('ghost');
  await command(['byteback-prune', '--free', '99%', '--order', 'age']);
  for (const victim of victims) expect((await command(['test', '-d', join(victim, 'fs')])).exitCode, victim).toBe(0);

  // Nor is it named as what an admin should delete: mallory's run is refused, with a path of its own, and told.
  const run = await wire.prepare();
  await must(wire.pushArgv(run, `${tree}/`, '--filter=P *'));
  const refused = await wire.complete(run);
  expect(refused.exitCode).toBe(13);
  const { why } = JSON.parse(refused.stdout) as { why: string };
  for (const shown of why.replace('it would miss the snapshot: ', '').split(', ')) {
    expect(shown).toMatch(/^clients\/mallory\.example\/current\/fs\/x\\+x0aID /);
  }
  expect((await must(['byteback', 'events'])).stdout).toContain(
    'a subvolume was made inside the files of mallory.example',
  );
  for (const path of planted)
    await must(path.includes('ghost') && !/\/20/.test(path) ? ['rmdir', path] : ['btrfs', 'subvolume', 'delete', path]);
});

it('FT02 a file name words no bytes that were written; small files count with what they take of the metadata', async () => {
  const hostile = join(machine.disk, 'hostile');
  await mkdir(hostile);
  await writeFile(join(hostile, 'file'), 'first\n');
  await wire.backUp(`${hostile}/`);
  const forged = 'inode 1 file offset 0 len 1000000000000 disk start 1 offset 0 gen 999999999 flags NONE x';
  await mkdir(join(hostile, `d\n${forged}`));
  await writeFile(join(hostile, `d\n${forged}`, `f\n${forged}`), Buffer.alloc(100_000, 'x'));
  for (let at = 0; at < 1000; at += 1) await writeFile(join(hostile, `small-${at}`), 'small\n');
  const snapshot = await wire.backUp(`${hostile}/`);
  expect((await must(['byteback-prune'])).exitCode).toBe(0);
  const lines = (await readFile(`/byteback/.byteback/ledger/${snapshot.slice(0, 4)}.jsonl`, 'utf8'))
    .trimEnd()
    .split('\n');
  const entry = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .find((line) => line['event'] === 'run' && line['snapshot'] === snapshot);
  expect(entry?.['writtenBytes']).toBeGreaterThan(300_000);
  expect(entry?.['writtenBytes']).toBeLessThan(3_000_000);
});
