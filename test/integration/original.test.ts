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
  // As the original's README has it: the store is the user's home.
  await must(['chown', 'original:', '/byteback', old]);
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

  // The former user of the store takes nothing away, and what is left to it is told.
  expect(set.stderr.replaceAll(/\s+/g, ' ')).toContain('original can still change this history of the original');
  for (const script of ['cd /byteback; mv clients stolen', 'mv /byteback/web1 /byteback/x', 'mkdir /byteback/x'])
    expect((await command(['su', 'original', '-s', '/bin/sh', '-c', script])).exitCode).not.toBe(0);

  const list = await must(['byteback-prune', '--list']);
  for (const name of [...snapshots, taken]) expect(list.stdout).toContain(name);
  for (const name of snapshots) expect(await readFile(join(old, name, 'srv/file'), 'utf8')).toBe(`of ${name}\n`);

  // Once more: nothing is left to do.
  const again = await command(['byteback-setup-server', '--store', '/byteback', '--yes']);
  expect(again).toExitWith(0);
  await rm(tree, { recursive: true });
});

it.each([
  ['its owner', 'chown original /byteback'],
  ['its mode', 'chmod o+w /byteback'],
  ['an entry of an ACL', 'setfacl -m u:original:rwx /byteback'],
])("finds a store's top that another can change by %s, and set-up puts it right", async (_, spoil) => {
  await must(['sh', '-ec', spoil]);
  const found = await command(['byteback', 'doctor']);
  expect(found.stdout).toMatch(/owners.*give \/byteback to root/s);
  expect(await command(['byteback-setup-server', '--store', '/byteback', '--yes'])).toExitWith(0);
  expect((await must(['stat', '-c', '%U:%G %a', '/byteback'])).stdout).toBe('root:root 755\n');
  expect((await command(['su', 'original', '-s', '/bin/sh', '-c', 'mkdir /byteback/x'])).exitCode).not.toBe(0);
});

it('finds a directory on the way to the store that another can rename', async () => {
  const settings = await readFile('/etc/byteback/server.toml', 'utf8');
  await mkdir('/srv/other/store', { recursive: true });
  await must(['mount', '--bind', '/byteback', '/srv/other/store']);
  await must(['chown', 'original', '/srv/other']);
  await writeFile('/etc/byteback/server.toml', settings.replaceAll('"/byteback"', '"/srv/other/store"'));
  try {
    expect((await command(['byteback', 'doctor'])).stdout).toMatch(/owners.*\/srv\/other cannot be trusted/);
    const set = await command(['byteback-setup-server', '--yes']);
    expect(set).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('/srv/other belongs to user') });
  } finally {
    await writeFile('/etc/byteback/server.toml', settings);
    await must(['umount', '/srv/other/store']);
    await rm('/srv/other', { recursive: true });
  }
});
