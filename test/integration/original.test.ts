import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';

/** A store and a client as the original byteback left them, taken over by one command on each side. */
let machine: InstalledMachine;
const old = '/byteback/web1';
const snapshots = ['2015-01-30T10:20+0000', '2015-02-01T03:00+0100'];

beforeAll(async () => {
  machine = await installedMachine({ server: false });
  await writeFile(machine.image, '');
  await truncate(machine.image, 1024 ** 3);
  await must(['mkfs.btrfs', '-q', machine.image]);
  await mkdir('/byteback', { recursive: true });
  await must(['mount', '-o', 'loop,nodev,nosuid,noexec,noatime', machine.image, '/byteback']);
  await must(['useradd', '--system', '--home-dir', '/byteback', '--shell', '/bin/bash', 'original']);
  await mkdir(old);
  await must(['btrfs', 'subvolume', 'create', join(old, 'current')]);
  for (const name of snapshots) {
    await mkdir(join(old, 'current/srv'), { recursive: true });
    await writeFile(join(old, 'current/srv/file'), `of ${name}\n`);
    await must(['btrfs', 'subvolume', 'snapshot', '-r', join(old, 'current'), join(old, name)]);
  }
  await must(['chown', '-R', 'original:', join(old, 'current')]);
});

afterAll(async () => {
  await command(['userdel', 'original']);
  await machine?.dispose();
});

it('goes on with its history after one command on each side', async () => {
  const set = await command([
    'byteback-setup-server',
    ...['--store', '/byteback', '--admin-key', `${machine.adminKey}.pub`, '--yes'],
  ]);
  expect(set).toExitWith(0);

  // The files of the original on the client still count.
  const client = machine.clientToBe('web1');
  const tree = join(machine.disk, 'tree');
  await mkdir(client.configDir, { recursive: true });
  await mkdir(tree);
  await writeFile(join(client.configDir, 'excludes'), '*.left-out\n');
  await writeFile(join(tree, 'new'), 'new\n');
  await writeFile(join(tree, 'a.left-out'), 'x\n');
  await machine.client('web1', '--source', tree);
  expect(await client.run('byteback-backup')).toExitWith(0);

  const [taken] = await machine.snapshots('web1');
  const place = join(client.place, 'snapshots', taken ?? '', 'fs', tree);
  expect(await readFile(join(place, 'new'), 'utf8')).toBe('new\n');
  expect(await command(['test', '-e', join(place, 'a.left-out')])).toExitWith(1);

  const list = await must(['byteback-prune', '--list']);
  for (const name of [...snapshots, taken]) expect(list.stdout).toContain(name);
  for (const name of snapshots) expect(await readFile(join(old, name, 'srv/file'), 'utf8')).toBe(`of ${name}\n`);

  // Once more: nothing is left to do.
  const again = await command(['byteback-setup-server', '--store', '/byteback', '--yes']);
  expect(again).toExitWith(0);
  await rm(tree, { recursive: true });
});
