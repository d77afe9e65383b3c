import { mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must, type Outcome } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// A file or a directory that a user can make must never stop a run.

let machine: InstalledMachine;
let client: TestClient;
let tree: string;

beforeAll(async () => {
  machine = await installedMachine({ size: '2G' });
  // A disk whose files may be as large as a hole can be.
  const image = `${machine.scratch}/source.img`;
  await writeFile(image, '');
  await truncate(image, 512 * 1024 ** 2);
  await must(['mkfs.ext4', '-q', '-F', '-O', 'ea_inode', image]);
  tree = `${machine.disk}/source`;
  await mkdir(tree);
  await must(['mount', '-o', 'loop', image, tree]);
  client = await machine.client('web1');
  const config = await readFile(`${client.configDir}/client.toml`, 'utf8');
  await writeFile(`${client.configDir}/client.toml`, `${config.replace(/^source = .*$/m, '')}\nsource = ["${tree}"]\n`);
});

afterAll(async () => {
  await machine?.dispose();
});

interface Report {
  readonly unread: readonly { readonly path: string; readonly why: string }[];
  readonly walk: string | null;
}

async function backup(...further: string[]): Promise<{ outcome: Outcome; report: Report }> {
  const outcome = await client.runWith({ timeoutMs: 300_000 }, 'byteback-backup', '--json', ...further);
  expect([0, 3], outcome.stderr).toContain(outcome.exitCode);
  return { outcome, report: JSON.parse(outcome.stdout) as Report };
}

const named = ({ unread }: Report) => unread.map(({ path }) => path).toSorted();
const newest = async () => `${client.place}/snapshots/${(await machine.snapshots('web1')).at(-1)}/fs${tree}`;

/** A name of directories that is repeated: the shell makes and removes what no single call reaches. */
const part = 'd'.repeat(200);
const makeDeep = (top: string, levels: number) =>
  must([
    'sh',
    '-c',
    `cd "$0"; for i in $(seq ${levels}); do mkdir -p ${part}; cd ${part}; done; echo deep >leaf; mkdir cache; printf 'Signature: 8a477f597d28d172789f06886806bc55' >cache/CACHEDIR.TAG`,
    top,
  ]);

describe('one object', { timeout: 400_000 }, () => {
  it('that no run can carry never stops one: it is named, and all else is in the snapshot', async () => {
    await makeDeep(tree, 25);
    await writeFile(`${tree}/ordinary`, 'ordinary');
    await mkdir(`${tree}/gone`);
    await writeFile(`${tree}/gone/file`, 'gone');
    await writeFile(`${tree}/attribute`, 'has a large one');
    await must(['setfattr', '-n', 'user.large', '-v', `0x${'41'.repeat(16_250)}`, `${tree}/attribute`]);
    await writeFile(`${tree}/huge`, '');
    await truncate(`${tree}/huge`, 10 * 1024 ** 4);
    // More than the store has free, and next to nothing on the disk.
    await writeFile(`${tree}/sparse`, 'begins');
    await truncate(`${tree}/sparse`, 3 * 1024 ** 3);
    const end = 'echo ends | dd of="$0" bs=1 seek=2000000000 conv=notrunc status=none';
    await must(['sh', '-c', end, `${tree}/sparse`]);
    const { outcome, report } = await backup();
    expect(outcome.exitCode, outcome.stderr).toBe(3);
    const deep = report.unread.find(({ why }) => why.includes('is longer'))?.path ?? '';
    expect(deep.startsWith(`${tree}/${part}/`)).toBe(true);
    expect(named(report)).toEqual([`${tree}/attribute`, deep, `${tree}/huge`].toSorted());
    expect(outcome.stderr).not.toContain('full');
    const there = await newest();
    for (const name of ['ordinary', 'gone/file', 'attribute', 'sparse'])
      expect((await stat(`${there}/${name}`)).isFile(), name).toBe(true);
    const sparse = await stat(`${there}/sparse`);
    expect(sparse.size).toBe(3 * 1024 ** 3);
    expect(sparse.blocks * 512).toBeLessThan(1024 * 1024);
    await must(['cmp', `${tree}/sparse`, `${there}/sparse`], { timeoutMs: 200_000 });
    await rm(`${tree}/sparse`);
    // As far down as a path can be told, all is there.
    const { stdout } = await must(['find', there, '-name', part]);
    expect(stdout.trim().split('\n').length).toBeGreaterThanOrEqual(18);
  });

  it.each([[], ['--full']])('is named again, and keeps nothing from being sent or deleted: %j', async (...words) => {
    await rm(`${tree}/gone`, { recursive: true, force: true });
    await writeFile(`${tree}/new${words.length}`, 'new');
    await writeFile(`${tree}/${part}/beside${words.length}`, 'beside');
    const { outcome, report } = await backup(...words);
    expect(outcome.exitCode, outcome.stderr).toBe(3);
    expect(named(report)).toContain(`${tree}/huge`);
    expect(report.unread.some(({ why }) => why.includes('is longer'))).toBe(true);
    if (words.length === 0) expect(report.walk).toBeNull();
    const there = await newest();
    await expect(stat(`${there}/gone`)).rejects.toThrow('ENOENT');
    expect(await readFile(`${there}/new${words.length}`, 'utf8')).toBe('new');
    expect(await readFile(`${there}/${part}/beside${words.length}`, 'utf8')).toBe('beside');
  });

  it('that is gone is named no more', async () => {
    await must(['sh', '-c', 'rm -rf "$0"/*', tree]);
    const { outcome, report } = await backup();
    expect(outcome.exitCode, outcome.stderr).toBe(0);
    expect(named(report)).toEqual([]);
  });
});
