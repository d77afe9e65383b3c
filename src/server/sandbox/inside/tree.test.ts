import { createHash } from 'node:crypto';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseDigests } from '../../../protocol/digests.ts';
import { type ListedEntry, ListParser } from '../../../protocol/tree-list.ts';
import { digestsInside } from './digests.ts';
import { treeInside } from './tree.ts';

const home = process.cwd();
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-tree-'));
  mkdirSync(join(directory, 'fs/srv/deep/er'), { recursive: true });
  process.chdir(join(directory, 'fs'));
  writeFileSync('srv/a', 'a');
  writeFileSync('srv/new\nline', 'two');
  writeFileSync(Buffer.from('srv/\xff', 'latin1'), '');
  writeFileSync('srv/deep/er/b', 'b');
  linkSync('srv/a', 'srv/a too');
  writeFileSync('../outside', 'not to be seen');
  symlinkSync('../..', 'srv/out');
});
afterEach(() => {
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

const namesIn = (...names: string[]) => Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');

async function list(...names: string[]): Promise<ListedEntry[]> {
  const parser = new ListParser();
  const entries: ListedEntry[] = [];
  for await (const chunk of treeInside(namesIn(...names))) entries.push(...parser.take(chunk));
  expect(parser.isWhole).toBe(true);
  return entries;
}

const all = ['', 'srv', 'srv/a', 'srv/a too', 'srv/deep', 'srv/deep/er', 'srv/deep/er/b', 'srv/new\nline', 'srv/out'];

test.each(['./', '.', ''])('all of it: %j', async (top) => {
  const entries = await list(top);
  expect(entries.map(({ name }) => name).toSorted()).toEqual([...all, 'srv/\xff'].toSorted());
  const [one, two] = entries.filter(({ name }) => name.startsWith('srv/a'));
  expect(one?.linkGroup).not.toBe('');
  expect(one?.linkGroup).toBe(two?.linkGroup);
  expect(entries.find(({ name }) => name === 'srv/new\nline')).toMatchObject({ type: 'file', sizeBytes: 3 });
});

test('some names, each once, with the directories on the way', async () => {
  const entries = await list('srv/deep/er', 'srv/deep/er/b', 'srv/a', 'srv/gone');
  expect(entries.map(({ name, onTheWay }) => `${name}${onTheWay ? ' on the way' : ''}`)).toEqual([
    'srv on the way',
    'srv/deep on the way',
    'srv/deep/er',
    'srv/deep/er/b',
    'srv/deep/er on the way',
    'srv/a',
  ]);
});

test.each(['../outside', '/etc/passwd', 'srv/../../outside', 'srv//a', './srv', 'srv/.'])(
  'nothing outside, and no name in another form: %j',
  async (name) => {
    expect(await list(name)).toEqual([]);
    const digests: Buffer[] = [];
    for await (const chunk of digestsInside(namesIn(name))) digests.push(chunk);
    expect(parseDigests(Buffer.concat(digests).toString('latin1'))).toEqual(new Map([[name, null]]));
  },
);

test('never through a link', async () => {
  expect((await list('srv/out')).map(({ name }) => name)).toEqual(['srv', 'srv/out']);
});

test('checksums, one for each name that was asked for', async () => {
  const chunks: Buffer[] = [];
  for await (const chunk of digestsInside(namesIn('srv/a', 'srv/new\nline', 'srv/gone', 'srv/deep', 'srv/out')))
    chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('latin1');
  const sha256 = (content: string) => createHash('sha256').update(content).digest('hex');
  expect([...(parseDigests(text) ?? [])]).toEqual([
    ['srv/a', sha256('a')],
    ['srv/new\nline', sha256('two')],
    ['srv/gone', null],
    ['srv/deep', null],
    ['srv/out', null],
  ]);
  for (let length = 0; length < text.length; length += 1) expect(parseDigests(text.slice(0, length))).toBeUndefined();
});
