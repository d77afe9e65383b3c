import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LookTask, lookInside } from './look.ts';

// What the disk does not give is shown by test/integration/bitrot.test.ts. Here a hard link stands for what two snapshots
// share: one inode, one change time.
let root = '';
const [old, first, second] = [1, 2, 3].map((day) => `snapshots/2026-11-0${day}T000000Z`) as [string, string, string];
const look = async (files: LookTask['files'], now?: () => number) => {
  const request = Buffer.from(JSON.stringify({ trees: [second, first], files } satisfies LookTask));
  return (await lookInside(request, now === undefined ? { root } : { root, now })).files;
};

beforeAll(async () => {
  root = await mkdtemp(join('/tmp', 'byteback-look-'));
  for (const tree of [old, first, second]) await mkdir(join(root, tree, 'fs/srv/a directory'), { recursive: true });
  const place = (tree: string, name: string) => join(root, tree, 'fs/srv', name);
  await writeFile(place(old, 'line\nend'), 'old');
  await link(place(old, 'line\nend'), place(first, 'line\nend'));
  await writeFile(place(second, 'line\nend'), 'new');
  await symlink('/etc/hostname', place(second, 'link'));
});
afterAll(() => rm(root, { recursive: true }));

describe('what became of a damaged file', () => {
  const path = '/srv/line\\x0aend';
  it('is damaged as long as it is the same file, and another one is read', async () => {
    expect(await look([{ path, damagedIn: old }])).toEqual([{ [first]: 'damaged', [second]: 'whole' }]);
  });

  it('is not known when there is no time to read it; what was sent into its place is whole', async () => {
    let time = 0;
    const now = () => (time += 1_000_000);
    expect(await look([{ path, damagedIn: old }], now)).toEqual([{ [first]: 'damaged' }]);
    expect(await look([{ path, damagedIn: old, sentIn: second }], now)).toEqual([
      { [first]: 'damaged', [second]: 'whole' },
    ]);
  });

  it('is damaged, too, where it was sent and is still the same', async () => {
    expect(await look([{ path, damagedIn: old, sentIn: first }])).toMatchObject([{ [first]: 'damaged' }]);
  });

  it('is told of nothing else', async () => {
    expect(await look([{ path: '/srv/gone' }, { path: '/srv/line\\x0aend/below' }])).toEqual([
      { [first]: 'missing', [second]: 'missing' },
      { [first]: 'missing', [second]: 'missing' },
    ]);
    expect(await look([{ path: '/srv/a directory' }, { path: '/srv/../srv/x' }, { path: '(inode 7)' }])).toEqual([
      {},
      {},
      {},
    ]);
    expect(await look([{ path: '/srv/link' }])).toEqual([{ [first]: 'missing' }]);
  });
});
