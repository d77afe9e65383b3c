import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { xxhash128 } from 'hash-wasm';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PullItem } from '../../system/rsync-pull-told.ts';
import { writtenFiles } from './written.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-written-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const item = async (name: string, content: Buffer | string): Promise<PullItem> => ({
  flags: '>f+++++++++',
  content: true,
  sizeBytes: content.length,
  digest: await xxhash128(content),
  name: Buffer.from(name),
});
const large = Buffer.alloc(3_000_000, 'large');

test('reads again what was written, and names what is not what was sent', async () => {
  writeFileSync(join(directory, 'good'), 'good');
  writeFileSync(join(directory, 'empty'), '');
  writeFileSync(join(directory, 'bad'), 'good?');
  writeFileSync(join(directory, 'short'), large.subarray(1));
  writeFileSync(join(directory, 'large'), large);
  writeFileSync(join(directory, 'longer'), large);
  writeFileSync(join(directory, 'last'), 'wrong');
  const told = new Map<string, string | undefined>();
  const written = await writtenFiles(directory, (name, why) => told.set(name.toString(), why));
  for (const each of [
    item('good', 'good'),
    item('empty', ''),
    item('bad', 'good!'),
    item('missing', 'x'),
    item('short', large),
    item('large', large),
    item('longer', 'it was short'),
    { ...(await item('attributes only', '')), content: false },
    item('last', 'right'),
  ])
    await written.take(await each);
  // The last one is still being put in its place.
  expect(told.has('last')).toBe(false);
  await written.finish(false);
  expect([written.files, written.bytes]).toEqual([3, 4 + large.length]);
  expect(Object.fromEntries(told)).toEqual({
    good: undefined,
    empty: undefined,
    large: undefined,
    bad: 'it differs from the snapshot: content',
    missing: expect.stringMatching(/^it cannot be read after the restore: ENOENT/),
    short: 'it differs from the snapshot: content',
    longer: 'it differs from the snapshot: content',
    last: 'it differs from the snapshot: content',
  });
});

test('what was cut comes once more, and says then what it is', async () => {
  const told = new Map<string, string | undefined>();
  const written = await writtenFiles(directory, (name, why) => told.set(name.toString(), why));
  await written.take(await item('file', 'whole'));
  await written.finish(true);
  expect(told.size).toBe(0);
  writeFileSync(join(directory, 'file'), 'whole');
  await written.take(await item('file', 'whole'));
  await written.finish(false);
  expect([...told]).toEqual([['file', undefined]]);
});
