import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { replaceFile } from './files.ts';
import { makeTemporaryDirectory, sweepTemporaryFiles } from './temporary.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'temporary-test-'));
});
afterEach(() => rm(directory, { recursive: true }));

const left = '.0123456789ab.tmp';

it('takes away what nobody has open, and nothing else', async () => {
  const others = ['.0123456789ab.tmp.x', 'x.tmp', '.zz23456789ab.tmp', 'a'];
  for (const name of [left, ...others]) await writeFile(join(directory, name), 'x');
  await mkdir(join(directory, '.0123456789cd.tmp'));
  const file = await open(join(directory, '.ffffffffffff.tmp'), 'wx');
  await sweepTemporaryFiles(directory);
  expect((await readdir(directory)).toSorted()).toEqual(
    [...others, '.0123456789cd.tmp', '.ffffffffffff.tmp'].toSorted(),
  );
  await file.close();
  await sweepTemporaryFiles(directory, { again: true });
  expect(await readdir(directory)).not.toContain('.ffffffffffff.tmp');
});

it('sweeps where a file is replaced, while many are replaced at once', async () => {
  await writeFile(join(directory, left), 'x');
  await Promise.all(
    Array.from({ length: 200 }, async (_, number) => {
      await sweepTemporaryFiles(directory, { again: true });
      await replaceFile(join(directory, `file${number % 7}`), `${number}`, { mode: 0o600 });
    }),
  );
  expect((await readdir(directory)).toSorted()).toEqual(Array.from({ length: 7 }, (_, number) => `file${number}`));
});

it('what is not there is nothing to sweep', async () => {
  await expect(sweepTemporaryFiles(join(directory, 'none'))).resolves.toBeUndefined();
});

it('a directory goes when its process has ended, and not before', async () => {
  const child = spawn('sleep', ['60']);
  const { readFile } = await import('node:fs/promises');
  const begin = (await readFile(`/proc/${child.pid}/stat`, 'latin1')).split(') ').at(-1)?.split(' ')[19];
  const its = `x-${child.pid}-${begin}-abcdef`;
  const reused = `x-${child.pid}-1-abcdef`;
  for (const name of [its, reused, 'x-abcdef', 'y-1-1-abcdef'])
    await mkdir(join(directory, name, 'in'), { recursive: true });
  const mine = await makeTemporaryDirectory(directory, 'x-');
  expect((await readdir(directory)).toSorted()).toEqual(
    [its, 'x-abcdef', 'y-1-1-abcdef', mine.split('/').at(-1)].toSorted(),
  );
  child.kill('SIGKILL');
  await once(child, 'exit');
  await makeTemporaryDirectory(directory, 'x-');
  expect(await readdir(directory)).not.toContain(its);
  expect(await readdir(directory)).toContain(mine.split('/').at(-1));
});
