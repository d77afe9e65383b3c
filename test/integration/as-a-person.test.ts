import { mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// What an admin types on the first day, from the packages to a restored file, with the commands as a person types them.
let machine: InstalledMachine;
let web: TestClient;
let mail: TestClient;

beforeAll(async () => {
  machine = await installedMachine();
  for (const name of ['web', 'mail']) {
    await mkdir(`${machine.disk}/${name}/deep`, { recursive: true });
    await writeFile(`${machine.disk}/${name}/deep/file`, `of ${name}\n`.repeat(1000));
    await writeFile(`${machine.disk}/${name}/page`, `first page of ${name}\n`);
  }
});

afterAll(async () => {
  await machine?.dispose();
});

describe('as a person would', () => {
  it('sets up a server with one command', async () => {
    expect(machine.setup?.exitCode).toBe(0);
    expect((await command(['findmnt', '-n', '-o', 'FSTYPE', '/byteback'])).stdout.trim()).toBe('btrfs');
  });

  it('sets up a server again without harm', async () => {
    const again = await command([
      ...['byteback-setup-server', '--store', '/byteback', '--image', machine.image, '--size', '4G'],
      ...['--admin-key', `${machine.adminKey}.pub`, '--yes'],
    ]);
    expect(again).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Nothing had to be changed') });
  });

  it('sets up two clients, each with one command', async () => {
    web = await machine.client('web1');
    mail = await machine.client('mail.example.net');
    expect((await must(['byteback', 'client', 'list'])).stdout).toMatch(/mail\.example\.net[\s\S]*web1/);
  });

  it('backs up, verbosely, each client its own tree', async () => {
    const first = await web.run('byteback-backup', '--verbose', '--source', `${machine.disk}/web`);
    expect(first).toExitWith(0);
    expect(await machine.snapshots('web1')).toHaveLength(1);
    expect(await machine.snapshots('mail.example.net')).toEqual([]);
    expect(await mail.run('byteback-backup', '--source', `${machine.disk}/mail`)).toMatchObject({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
    expect(await machine.snapshots('mail.example.net')).toHaveLength(1);
  });

  it('keeps plain files in a read-only snapshot', async () => {
    const [name] = await machine.snapshots('web1');
    const snapshot = `${web.place}/snapshots/${name}`;
    expect(
      await compareTrees(`${machine.disk}/web/deep`, `${snapshot}/fs${machine.disk}/web/deep`, {
        attributes: false,
        rights: false,
      }),
    ).toEqual([]);
    expect((await must(['btrfs', 'property', 'get', snapshot, 'ro'])).stdout.trim()).toBe('ro=true');
  });

  it('lists the versions of a file and restores an old one', async () => {
    await writeFile(`${machine.disk}/web/page`, 'second page\n');
    expect(await web.run('byteback-backup', '--source', `${machine.disk}/web`)).toExitWith(0);
    const [first = '', second = ''] = await machine.snapshots('web1');
    const versions = await web.run('byteback-restore', '--all', `${machine.disk}/web/page`);
    expect(versions.exitCode).toBe(0);
    expect(versions.stdout).toContain(first);
    expect(versions.stdout).toContain(second);

    const to = `${machine.disk}/restored`;
    expect(
      await web.run('byteback-restore', '--restore', '--snapshot', first, '--to', to, `${machine.disk}/web/page`),
    ).toExitWith(0);
    expect((await must(['find', to, '-type', 'f', '-exec', 'cat', '{}', '+'])).stdout).toBe('first page of web\n');
  });
});
