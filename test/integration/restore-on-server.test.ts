import { lstatSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// What a client's root made is nobody's way to be root on the server.
let machine: InstalledMachine;
let client: TestClient;
let tree = '';

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
  tree = `${machine.disk}/tree`;
  await mkdir(`${tree}/odd [dir] * \\`, { recursive: true });
  await mkdir(`${tree}/setgid dir`);
  await must(['chmod', '2775', `${tree}/setgid dir`]);
  for (const [name, mode] of [
    ['setuid', '4755'],
    ['setgid', '2755'],
    ['both', '6711'],
    ['large', '4755'],
    ['plain', '644'],
  ] as const) {
    await writeFile(`${tree}/${name}`, name === 'large' ? Buffer.alloc(3_000_000, 'large') : name);
    await must(['chmod', mode, `${tree}/${name}`]);
  }
  await must(['ln', `${tree}/both`, `${tree}/odd [dir] * \\/both again`]);
  await must(['cp', '/usr/bin/true', `${tree}/capable`]);
  await must(['setcap', 'cap_setuid+ep', `${tree}/capable`]);
  await must(['setfattr', '-n', 'user.kept', '-v', 'yes', `${tree}/capable`]);
  await must(['mknod', `${tree}/disk`, 'b', '7', '0']);
  await must(['mknod', `${tree}/odd [dir] * \\/null [*] \\`, 'c', '1', '3']);
  await must(['mkfifo', `${tree}/fifo`]);
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
}, 300_000);
afterAll(async () => {
  await machine?.dispose();
});

const onServer = (...words: string[]) =>
  machine.clientToBe('root').run('byteback-restore', '--client', 'web1', '--restore', ...words);
const found = async (directory: string, ...words: string[]) =>
  (await must(['find', directory, ...words, '-print'])).stdout;

it.each([[['--all-files']], [['tree']], [['--snapshot', 'latest', '--no-verify']]])(
  'makes no device, nothing setuid, nothing capable, in a directory of its own: %j',
  async (how) => {
    const out = `${machine.disk}/out`;
    const words = how[0] === 'tree' ? [tree] : how;
    // Once more over what is there: nothing of it comes by another way.
    for (const again of [[], ['--overwrite']]) {
      const outcome = await onServer('--to', out, ...again, ...words, '--json');
      expect(outcome).toExitWith(0);
      expect(JSON.parse(outcome.stdout)).toMatchObject({
        status: 'ok',
        failed: [],
        leftOut: { devices: 2, setuid: 6, capabilities: 1 },
      });
      expect(outcome.stderr).toContain('left out on this server: 2 device nodes, the setuid or setgid bits of 6 paths');
      expect(await found(out, '-perm', '/6000')).toBe('');
      expect(await found(out, '(', '-type', 'b', '-o', '-type', 'c', ')')).toBe('');
      expect((await must(['getfattr', '-Rhd', '-m', '-', out])).stdout).not.toMatch(/security\.|trusted\./);
      expect((await must(['getfattr', '-d', `${out}${tree}/capable`])).stdout).toContain('user.kept="yes"');
      expect(statSync(out)).toMatchObject({ uid: 0, gid: 0 });
      expect(lstatSync(out).mode & 0o7777).toBe(0o700);
      const rest = { except: ['disk', 'odd [dir] * \\/null [*] \\'], rights: false, attributes: false };
      expect(await compareTrees(tree, `${out}${tree}`, rest)).toEqual([]);
    }
    await rm(out, { recursive: true });
  },
);

it('restores them when they are asked for by name', async () => {
  const out = `${machine.disk}/privileged`;
  expect(await onServer('--to', out, '--privileged', '--all-files')).toExitWith(0);
  expect(await compareTrees(tree, `${out}${tree}`)).toEqual([]);
});

it('leaves nothing out on the client itself', async () => {
  const out = `${machine.disk}/own`;
  const outcome = await client.run('byteback-restore', '--restore', '--to', out, tree);
  expect(outcome).toExitWith(0);
  expect(outcome.stderr).not.toContain('left out');
  expect(await compareTrees(tree, `${out}${tree}`)).toEqual([]);
});
