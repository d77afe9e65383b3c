import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseStored, storedFormat } from '../../../protocol/stored.ts';
import { run } from '../../../system/run.ts';
import { listInside } from './list.ts';

let root = '';
const before = process.cwd();

beforeAll(async () => {
  root = await mkdtemp('/tmp/byteback-list-');
  process.chdir(root);
  await mkdir('d/deep', { recursive: true });
  await writeFile('d/file', 'abc');
  await run(['touch', '-d', '@-0.5', 'd/file']);
  await link('d/file', 'd/other');
  await writeFile(Buffer.from('d/\xff\n', 'latin1'), '');
  await symlink('/etc', 'planted');
});
afterAll(async () => {
  process.chdir(before);
  await rm(root, { recursive: true });
});

async function list(...names: readonly string[]) {
  const pieces: Buffer[] = [];
  for await (const piece of listInside(Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1'))) {
    pieces.push(piece);
  }
  const records = Buffer.concat(pieces).toString('latin1').split('\0');
  return records.filter((record) => record !== '').map((record) => parseStored(record));
}

it('tells what is there, as find would', async () => {
  const found = (await run(['find', '.', '-printf', storedFormat])).stdout.toString('latin1').split('\0');
  const told = await list('.', 'd', 'd/deep', 'd/file', 'd/other', 'd/\xff\n', 'planted');
  const byPath = new Map(told.map((entry) => [entry?.path, entry]));
  for (const record of found.filter((each) => each !== '')) {
    const expected = parseStored(record);
    expect(byPath.get(expected?.path)).toEqual(expected?.type === 'l' ? { ...expected, type: 'o' } : expected);
  }
  expect(told).toHaveLength(found.length - 1);
  expect(told.find((entry) => entry?.path === '/d/file')).toMatchObject({ mtime: '-1.5000000000', links: 2 });
});

it('tells nothing of what is not there, or leads elsewhere', async () => {
  expect(await list('none', 'd/file/below', '..', '/etc', 'd/../d', '', 'd//file')).toEqual([]);
});

it('tells what lies directly in a directory, and in none that a link leads to', async () => {
  const paths = (entries: Awaited<ReturnType<typeof list>>) => entries.map((entry) => entry?.path).toSorted();
  expect(paths(await list('d/'))).toEqual(['/d', '/d/deep', '/d/file', '/d/other', '/d/\xff\n']);
  expect(paths(await list('./'))).toEqual(['/', '/d', '/planted']);
  expect(paths(await list('planted/'))).toEqual(['/planted']);
});
