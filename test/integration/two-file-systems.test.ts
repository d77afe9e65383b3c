import { link, lstat, mkdir, rename, truncate, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';
import { backUpInside } from '../helpers/run-inside.ts';

// Two file systems use the same inodes, and the kernel's number of one may be the other's after a boot.
let machine: InstalledMachine;
const loops: string[] = [];
const places: string[] = [];

beforeAll(async () => {
  machine = await installedMachine();
});

afterAll(async () => {
  await away();
  await machine?.dispose();
});

async function comeAs(images: readonly string[]): Promise<void> {
  for (const image of images) loops.push((await must(['losetup', '-f', '--show', image])).stdout.trim());
}

async function away(): Promise<void> {
  for (const place of places) await command(['umount', place]);
  for (const loop of loops.splice(0)) await command(['losetup', '-d', loop]);
}

it('hard links of two file systems with the same inodes stay apart, across a boot too', async () => {
  const images = ['one', 'two'].map((name) => `${machine.scratch}/${name}.img`);
  for (const image of images) {
    await writeFile(image, '');
    await truncate(image, 32 * 1024 ** 2);
    await must(['mkfs.ext4', '-q', '-F', image]);
  }
  await comeAs(images);
  const inodes: bigint[] = [];
  for (const [at, loop] of loops.entries()) {
    const place = `${machine.disk}/place-${at}`;
    places.push(place);
    await mkdir(place);
    await must(['mount', loop, place]);
    await mkdir(`${place}/d/deep`, { recursive: true });
    for (const name of ['a', 'b', 'deep/c']) await writeFile(`${place}/d/${name}`, `${name} of ${at}\n`);
    await link(`${place}/d/a`, `${place}/d/same as a`);
    await link(`${place}/d/b`, `${place}/d/same as b`);
    inodes.push((await lstat(`${place}/d/a`, { bigint: true })).ino);
  }
  expect(inodes[0]).toBe(inodes[1]);
  const client = await machine.client('two-disks');
  const sources = places.map((place) => `"${place}"`).join(', ');
  await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\nsource = [${sources}]\n`);
  const exact = async () => {
    const snapshot = (await machine.snapshots(client.name)).at(-1);
    for (const place of places) {
      const copy = `${client.place}/snapshots/${snapshot}/fs${place}`;
      expect(await compareTrees(place, copy, { rights: false, attributes: false })).toEqual([]);
    }
  };
  await backUpInside(client, {});
  await exact();
  // What was renamed is sent by its name only; the names of a file go with it.
  for (const place of places) await rename(`${place}/d`, `${place}/e`);
  expect((await backUpInside(client, {})).report.walk).toBeNull();
  await exact();
  // As after a boot: each has the number that was the other's.
  await away();
  await comeAs(images.toReversed());
  for (const [at, loop] of loops.toReversed().entries()) await must(['mount', loop, places[at] ?? '']);
  const { report } = await backUpInside(client, {});
  expect(report).toMatchObject({ walk: null, figures: { sentFiles: 0 } });
  for (const place of places) await rename(`${place}/e/deep`, `${place}/deep`);
  await link(`${places[0]}/e/a`, `${places[0]}/deep/third name`);
  expect((await backUpInside(client, {})).report.walk).toBeNull();
  await exact();
});
