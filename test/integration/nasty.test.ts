import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { invalidUtf8, makeNastyTree } from '../helpers/nasty-tree.ts';

let machine: InstalledMachine;
let client: TestClient;
let tree: string;
/** A true copy of the tree at each backup, in the order of the snapshots. */
const copies: string[] = [];

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
  tree = `${machine.disk}/tree`;
  await makeNastyTree(tree);
  await moreFor();
});

afterAll(async () => {
  await machine?.dispose();
});

/** What the later changes work on: link groups large and small, below and above the size for writing in place. */
async function moreFor(): Promise<void> {
  const groups = `${tree}/groups`;
  await mkdir(groups);
  for (const [name, size] of [
    ['small', 10_000],
    ['large', 3_000_000],
  ] as const) {
    const content = randomBytes(size);
    for (const group of ['split', 'cross', 'in place']) {
      await writeFile(`${groups}/${name} ${group} a`, content);
      await link(`${groups}/${name} ${group} a`, `${groups}/${name} ${group} b`);
      await link(`${groups}/${name} ${group} a`, `${groups}/${name} ${group} c`);
    }
    for (const single of ['join a', 'join b', 'join c'])
      await writeFile(`${groups}/${name} ${single}`, randomBytes(size));
    await writeFile(`${groups}/${name} same second`, randomBytes(size));
    await writeFile(`${groups}/${name} becomes a directory`, content);
    await mkdir(`${groups}/${name} becomes a file`);
    await writeFile(`${groups}/${name} becomes a file/inside`, content);
    await writeFile(`${groups}/${name} becomes a link`, content);
    await writeFile(`${groups}/${name} is moved`, randomBytes(size));
  }
}

/** As editors and dpkg write: a new file, renamed over one name of a group. */
async function replace(path: string, content: Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}

async function writeInPlace(path: string, position: number, content: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(content, 0, content.length, position);
  await file.close();
}

/** Other content, same size, same second: the nanoseconds alone tell. */
async function rewriteWithinTheSecond(path: string): Promise<void> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  await writeInPlace(path, 0, randomBytes(Number(size)));
  const second = mtimeNs / 1_000_000_000n;
  const nanosecond = (mtimeNs + 1n) % 1_000_000_000n;
  await must(['touch', '-d', `@${second}.${String(nanosecond).padStart(9, '0')}`, path]);
}

/** Backs up, and copies the tree as it was then. */
async function backUp(): Promise<void> {
  const copy = `${machine.disk}/copy ${copies.length + 1}`;
  await must(['cp', '-a', tree, copy]);
  copies.push(copy);
  const outcome = await client.run('byteback-backup', '--source', tree);
  expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
  expect(await machine.snapshots('web1')).toHaveLength(copies.length);
}

/** Restores the newest snapshot, or another, and compares it with the copy of its time. */
async function expectIdentical(index: number): Promise<void> {
  const snapshot = (await machine.snapshots('web1'))[index] ?? '';
  const to = `${machine.disk}/restored`;
  await rm(to, { recursive: true, force: true });
  const outcome = await client.run('byteback-restore', '--restore', '--snapshot', snapshot, '--to', to);
  expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
  expect(await compareTrees(copies[index] ?? '', `${to}${tree}`)).toEqual([]);
  await rm(to, { recursive: true });
}

describe('a tree of everything that is hard', () => {
  it('comes back identical', async () => {
    await backUp();
    await expectIdentical(0);
  });

  it('comes back identical after links were split and joined, files rewritten, swapped and moved', async () => {
    const groups = `${tree}/groups`;
    for (const name of ['small', 'large']) {
      const size = name === 'small' ? 10_000 : 3_000_000;
      await replace(`${groups}/${name} split a`, randomBytes(size));
      await replace(`${groups}/${name} cross b`, await readFile(`${groups}/${name} cross a`));
      await writeInPlace(`${groups}/${name} in place c`, 5000, randomBytes(100));
      await rm(`${groups}/${name} join b`);
      await link(`${groups}/${name} join a`, `${groups}/${name} join b`);
      await rewriteWithinTheSecond(`${groups}/${name} same second`);
      await rm(`${groups}/${name} becomes a directory`);
      await mkdir(`${groups}/${name} becomes a directory`);
      await writeFile(`${groups}/${name} becomes a directory/inside`, 'now a directory\n');
      await rm(`${groups}/${name} becomes a file`, { recursive: true });
      await writeFile(`${groups}/${name} becomes a file`, randomBytes(size));
      await rm(`${groups}/${name} becomes a link`);
      await symlink('is moved', `${groups}/${name} becomes a link`);
      await rename(`${groups}/${name} is moved`, `${groups}/${name} was moved`);
    }
    await writeFile(Buffer.concat([Buffer.from(`${tree}/names/`), invalidUtf8]), 'another content\n');
    await rm(`${tree}/kinds/fifo`);
    await writeFile(`${tree}/kinds/fifo`, 'no fifo any more\n');
    await backUp();
    await expectIdentical(1);
  });

  it('comes back identical after all that was undone in other ways', async () => {
    const groups = `${tree}/groups`;
    for (const name of ['small', 'large']) {
      const size = name === 'small' ? 10_000 : 3_000_000;
      // The group is joined again around the new content, and written in place through one of its names.
      for (const other of ['b', 'c']) {
        await rm(`${groups}/${name} split ${other}`);
        await link(`${groups}/${name} split a`, `${groups}/${name} split ${other}`);
      }
      await writeInPlace(`${groups}/${name} split b`, size - 500, randomBytes(300));
      // A name goes over from one group to another.
      await rm(`${groups}/${name} cross c`);
      await link(`${groups}/${name} in place a`, `${groups}/${name} cross c`);
      await replace(`${groups}/${name} join a`, randomBytes(size));
      await rm(`${groups}/${name} join c`);
      await link(`${groups}/${name} join b`, `${groups}/${name} join c`);
      await rewriteWithinTheSecond(`${groups}/${name} same second`);
      await rm(`${groups}/${name} becomes a directory`, { recursive: true });
      await writeFile(`${groups}/${name} becomes a directory`, randomBytes(size));
      await rm(`${groups}/${name} becomes a file`);
      await mkdir(`${groups}/${name} becomes a file`);
      await writeFile(`${groups}/${name} becomes a file/inside`, randomBytes(size));
      await rename(`${groups}/${name} was moved`, `${groups}/${name} is moved`);
      await utimes(`${groups}/${name} is moved`, 1_000_000_000, 1_000_000_000);
    }
    await rm(`${tree}/kinds/fifo`);
    await must(['mkfifo', `${tree}/kinds/fifo`]);
    await must(['setfacl', '-b', `${tree}/rights/acl`]);
    await must(['setfattr', '-x', 'user.comment', `${tree}/rights/xattrs`]);
    await must(['chmod', '0750', `${tree}/rights/setuid`]);
    await backUp();
    await expectIdentical(2);
  });

  it('leaves the older snapshots as they were', async () => {
    await expectIdentical(0);
    await expectIdentical(1);
  });

  it('never sends what did not change', async () => {
    const outcome = await client.run('byteback-backup', '--json', '--source', tree);
    expect(JSON.parse(outcome.stdout).figures).toMatchObject({ sentFiles: 0, sentBytes: 0 });
  });
});
