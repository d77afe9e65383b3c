import { chmod, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';
import { makeNastyTree } from '../helpers/nasty-tree.ts';

// The tests' own measure: it has to see each kind of difference, or the tests built on it say nothing.
let machine: InstalledMachine;
let tree: string;
let copy: string;

beforeAll(async () => {
  machine = await installedMachine({ server: false });
  tree = await mkdtemp(`${machine.disk}/tree-`);
  copy = `${machine.disk}/copy`;
  await makeNastyTree(`${tree}/nasty`);
  await must(['cp', '-a', `${tree}/nasty`, copy]);
});

afterAll(async () => {
  await machine?.dispose();
});

describe('comparing trees', () => {
  it('finds a true copy identical', async () => {
    expect(await compareTrees(`${tree}/nasty`, copy)).toEqual([]);
  });

  it.each<[string, string, (path: string) => Promise<unknown>]>([
    ['a mode', 'contents/text', (path) => chmod(path, 0o600)],
    [
      'a byte',
      'contents/bytes',
      (path) => must(['dd', 'if=/dev/zero', `of=${path}`, 'bs=1', 'count=1', 'seek=5', 'conv=notrunc']),
    ],
    ['an owner', 'rights/world', (path) => must(['chown', '5:5', path])],
    ['a nanosecond', 'contents/text', (path) => must(['touch', '-d', '2001-02-03T04:05:06.123456780Z', path])],
    ['a missing file', 'contents/text', (path) => rm(path)],
    ['a name too many', 'contents/new', (path) => writeFile(path, '')],
    [
      'a link split',
      'links/two',
      async (path) => {
        await must(['cp', '-p', path, `${path}.new`]);
        await rename(`${path}.new`, path);
      },
    ],
    ['an ACL', 'rights/acl', (path) => must(['setfacl', '-b', path])],
    ['an extended attribute', 'rights/xattrs', (path) => must(['setfattr', '-x', 'security.byteback', path])],
    ['a capability', 'rights/capable', (path) => must(['setcap', '-r', path])],
    ['the time of a directory', 'names', (path) => utimes(path, 5, 5)],
  ])('sees %s', async (_, path, change) => {
    const changed = `${machine.disk}/changed`;
    await must(['cp', '-a', `${tree}/nasty`, changed]);
    await change(`${changed}/${path}`);
    const differences = await compareTrees(`${tree}/nasty`, changed);
    expect(differences.join('\n')).toContain(path);
    await command(['rm', '-rf', changed]);
  });
});
