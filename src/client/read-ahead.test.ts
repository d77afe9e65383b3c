import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { run } from '../system/run.ts';
import { readAhead } from './read-ahead.ts';

const directory = mkdtempSync(join(tmpdir(), 'byteback-ahead-'));
afterAll(() => rmSync(directory, { recursive: true }));

it('reads what is there, and neither waits for nor follows what else stands there', async () => {
  mkdirSync(join(directory, 'a'));
  for (const name of ['one', 'two', 'three']) writeFileSync(join(directory, 'a', name), 'x'.repeat(300_000));
  await run(['mkfifo', join(directory, 'a', 'pipe')]);
  symlinkSync('/dev/zero', join(directory, 'a', 'zero'));
  symlinkSync('/dev', join(directory, 'b'));
  const files = ['a/missing', 'a/one', 'a/pipe', 'a/three', 'a/two', 'a/zero', 'b/zero', 'c/gone'];
  const paths = files.map((name) => join(directory, name));
  const before = readdirSync('/proc/self/fd').length;
  const { signal } = new AbortController();
  await readAhead(paths, signal, () => true);
  // As it finds out by itself whether there is anything to gain: with the pipe among the first.
  await readAhead(paths.slice(2), signal);
  // It has ended, though nobody writes into the pipe and /dev/zero has no end; and nothing is left open.
  expect(readdirSync('/proc/self/fd')).toHaveLength(before);
});

it('looks at the first files of each directory until some come from the disk', async () => {
  const looks = async (...fromDisk: string[]) => {
    const seen: string[] = [];
    const files = ['a/1', 'a/2', 'a/3', 'a/4', 'c/1', 'c/2', 'd/1'];
    for (const name of ['a', 'c', 'd']) mkdirSync(join(directory, name), { recursive: true });
    const isFromDisk = (path: Buffer) => {
      const name = path.toString().replace(/\/[^/]*$/, '');
      seen.push(`${readlinkSync(name).slice(-1)}/${path.toString().slice(-1)}`);
      return fromDisk.includes(seen.at(-1) ?? '');
    };
    await readAhead(
      files.map((name) => join(directory, name)),
      new AbortController().signal,
      isFromDisk,
    );
    return seen;
  };
  expect(await looks()).toEqual(['a/1', 'a/2', 'a/3', 'c/1', 'c/2', 'd/1']);
  expect(await looks('a/2', 'a/3')).toEqual(['a/1', 'a/2', 'a/3']);
  // Also where each directory has only one; but not twice in a long time.
  expect(await looks('a/3', 'c/1')).toEqual(['a/1', 'a/2', 'a/3', 'c/1']);
  expect(await looks('a/1', 'c/1')).toEqual(['a/1', 'a/2', 'a/3', 'c/1', 'c/2', 'd/1']);
  expect(await looks('a/4', 'c/2', 'd/1')).toEqual(['a/1', 'a/2', 'a/3', 'c/1', 'c/2', 'd/1']);
});

it('ends when it is told to', async () => {
  await readAhead([join(directory, 'a', 'one')], AbortSignal.abort());
});
