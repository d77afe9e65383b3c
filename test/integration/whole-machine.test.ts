import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { acceptInvite } from '../helpers/invite.ts';
import { makeNastyTree } from '../helpers/nasty-tree.ts';

// A machine with two file systems on two disks of its own is lost; the recipe that its last snapshot carries is followed,
// word for word, by a machine that takes its place.
let machine: InstalledMachine;
const source = '/srv/machine';
const target = '/mnt/target';
const loops: string[] = [];

async function newDisk(name: string): Promise<string> {
  const file = `${machine.scratch}/${name}.img`;
  await writeFile(file, '');
  // Below 512 MB mkfs.ext4 chooses blocks that are too small for a long link.
  await truncate(file, 600 * 1024 * 1024);
  const device = (await must(['losetup', '--find', '--show', file])).stdout.trim();
  loops.push(device);
  return device;
}

const uuidOf = async (device: string) =>
  (await must(['blkid', '--probe', '--output', 'value', '--match-tag', 'UUID', device])).stdout.trim();

interface Report {
  snapshot: string;
  recipe: string;
  machine: { devices: { path: string }[]; packages: string[]; hostname: string; kernel: string; missing: string[] };
}

let lost: TestClient;
let oldDisks: string[] = [];

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  lost = await machine.client('web1');
  oldDisks = [await newDisk('old-root'), await newDisk('old-boot')];
  await must(['mkfs.ext4', '-q', '-L', 'the root', oldDisks[0] ?? '']);
  await must(['mkfs.ext4', '-q', oldDisks[1] ?? '']);
  await mkdir(source, { recursive: true });
  await must(['mount', oldDisks[0] ?? '', source]);
  await mkdir(`${source}/boot`);
  await must(['mount', oldDisks[1] ?? '', `${source}/boot`]);
  await writeFile(`${source}/boot/vmlinuz`, 'a kernel');
  await makeNastyTree(`${source}/srv`);
  await writeFile(
    `${lost.configDir}/client.toml`,
    `destination = "byteback@127.0.0.1:"\nsource = ["${source}", "${source}/boot"]\nretry_delay = "1s"\n`,
  );
  expect(await lost.run('byteback-backup')).toExitWith(0);
}, 200_000);
afterAll(async () => {
  for (const path of [`${target}${source}`, source]) await command(['umount', '-R', path]);
  for (const device of loops) await command(['losetup', '--detach', device]);
  await machine?.dispose();
});

describe('the manifest', () => {
  it('is in the snapshot, as a plain file of root, and is not sent again as long as it is the same', async () => {
    const [first = ''] = await machine.snapshots('web1');
    const file = (name: string) => `${lost.place}/snapshots/${name}/machine.json`;
    expect((await must(['stat', '--format', '%U %a', file(first)])).stdout).toBe('root 644\n');
    const inode = (await must(['stat', '--format', '%i', file(first)])).stdout;
    expect(await lost.run('byteback-backup')).toExitWith(0);
    const [, second = ''] = await machine.snapshots('web1');
    expect((await must(['stat', '--format', '%i', file(second)])).stdout).toBe(inode);
  });

  it('knows disks, packages, kernel and host', async () => {
    const { machine: found } = JSON.parse((await lost.run('byteback-restore', '--machine', '--json')).stdout) as Report;
    for (const disk of oldDisks) expect(found.devices).toContainEqual(expect.objectContaining({ path: disk }));
    expect(found.hostname).toBe((await must(['hostname'])).stdout.trim());
    expect(found.kernel).toBe((await must(['uname', '-r'])).stdout.trim());
    expect(found.packages.some((line) => /^rsync \d/.test(line))).toBe(true);
  });

  it('is missing from no backup that has none: that is said', async () => {
    const [first = ''] = await machine.snapshots('web1');
    await must(['btrfs', 'property', 'set', '-ts', `${lost.place}/snapshots/${first}`, 'ro', 'false']);
    await must(['rm', `${lost.place}/snapshots/${first}/machine.json`]);
    expect(await lost.run('byteback-restore', '--machine', '--snapshot', first)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('holds no manifest'),
    });
  });
});

describe('the recipe, followed', () => {
  it('gives fresh disks the old ids, and a tree that equals the one that was lost', async () => {
    const { stdout: recipe } = await lost.run('byteback-restore', '--machine');
    // 2. The new machine takes the old one's place.
    expect(recipe).toContain('byteback client invite web1 --replace');
    const invite = ['byteback', 'client', 'invite', 'web1', '--replace'];
    const invited = (await must([...invite, '--host', '127.0.0.1', '--port', String(machine.port)])).stdout;
    const rescue = machine.clientToBe('rescue');
    expect(await acceptInvite(rescue, invited)).toExitWith(0);
    expect((await lost.run('byteback-restore', '--snapshots')).exitCode).not.toBe(0);
    // 3. to 5. with the names of the new disks, as the recipe says.
    const uuids = await Promise.all(oldDisks.map(uuidOf));
    const newDisks = [await newDisk('new-root'), await newDisk('new-boot')];
    const steps = recipe
      .slice(recipe.indexOf('# 3.'), recipe.indexOf('# 6.'))
      .split('\n')
      // Other disks of this test machine are none of the lost one's.
      .filter((step) => !/\/dev\//.test(step) || oldDisks.some((disk) => step.split(' ').includes(disk)))
      .filter((step) => !step.includes('mount') || step.includes(`${target}${source}`))
      .join('\n')
      .replaceAll(/\/dev\/loop\d+\b/g, (disk) => newDisks[oldDisks.indexOf(disk)] ?? disk);
    expect(steps.match(/^mkfs\.ext4 /gm)).toHaveLength(2);
    const done = await rescue.run('bash', '-euc', steps);
    expect(done).toExitWith(0);
    expect(done.stdout).toContain('compared with the server by checksums');
    expect(await compareTrees(source, `${target}${source}`, { except: ['lost+found', 'boot/lost+found'] })).toEqual([]);
    expect(await Promise.all(newDisks.map(uuidOf))).toEqual(uuids);
    const mounted = await must([
      'findmnt',
      '--noheadings',
      '--output',
      'SOURCE',
      '--target',
      `${target}${source}/boot`,
    ]);
    expect(mounted.stdout.trim()).toBe(newDisks[1]);
  }, 100_000);
});
