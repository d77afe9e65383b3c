import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
  const before = readdirSync('/proc/self/fd').length;
  await readAhead(
    files.map((name) => join(directory, name)),
    new AbortController().signal,
  );
  // It has ended, though nobody writes into the pipe and /dev/zero has no end; and nothing is left open.
  expect(readdirSync('/proc/self/fd')).toHaveLength(before);
});

it('ends when it is told to', async () => {
  await readAhead([join(directory, 'a', 'one')], AbortSignal.abort());
});
