import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { start } from './run.ts';
import { openSlowPipe } from './slow-pipe.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slow-pipe-'));
});
afterEach(() => rm(directory, { recursive: true }));

test('all that a program writes comes through, also what is more than the pipe holds and what it writes last', async () => {
  const heard: string[] = [];
  const pipe = await openSlowPipe(join(directory, 'pipe'), (text) => void heard.push(text));
  const program = start(['seq', '1', '100000'], { stdout: pipe.writeFd });
  pipe.started();
  expect(await readdir(directory)).toEqual([]);
  await program.ended;
  await pipe.end();
  const lines = heard.join('').split('\n');
  expect(lines).toHaveLength(100_001);
  expect(lines.at(-2)).toBe('100000');
});

test('lines that come one by one are heard together', async () => {
  const heard: string[] = [];
  const pipe = await openSlowPipe(join(directory, 'pipe'), (text) => void heard.push(text));
  const program = start(['stdbuf', '-oL', 'seq', '1', '2000'], { stdout: pipe.writeFd });
  pipe.started();
  await program.ended;
  await pipe.end();
  expect(heard.join('').split('\n')).toHaveLength(2001);
  expect(heard.length).toBeLessThan(200);
});

test('a program that cannot be started leaves nothing open', async () => {
  const pipe = await openSlowPipe(join(directory, 'pipe'), () => undefined);
  await pipe.end();
  expect(await readdir(directory)).toEqual([]);
  await expect(openSlowPipe(join(directory, 'no', 'pipe'), () => undefined)).rejects.toThrow('mkfifo');
});

test('while what came is worked on, nothing more is read; what the work fails with is told at the end', async () => {
  const heard: string[] = [];
  let isBusy = false;
  const pipe = await openSlowPipe(join(directory, 'pipe'), async (text) => {
    expect(isBusy).toBe(false);
    isBusy = true;
    await new Promise((resolve) => setTimeout(resolve, 5));
    heard.push(text);
    isBusy = false;
  });
  const program = start(['seq', '1', '50000'], { stdout: pipe.writeFd });
  pipe.started();
  await program.ended;
  await pipe.end();
  expect(heard.join('').split('\n')).toHaveLength(50_001);
  const failing = await openSlowPipe(join(directory, 'pipe'), async () => {
    throw new Error('no more');
  });
  const other = start(['echo'], { stdout: failing.writeFd });
  failing.started();
  await other.ended;
  await expect(failing.end()).rejects.toThrow('no more');
});
