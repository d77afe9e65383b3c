import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { appendLines } from './append-lines.ts';

test('a line begins anew behind one that was cut, and a link is not followed', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'byteback-lines-'));
  try {
    const path = join(directory, 'lines');
    await appendLines(path, 'one\n');
    await appendLines(path, 'two\n');
    await writeFile(path, 'one\ntw');
    await appendLines(path, 'three\nfour\n');
    expect(await readFile(path, 'utf8')).toBe('one\ntw\nthree\nfour\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await symlink('lines', join(directory, 'link'));
    await expect(appendLines(join(directory, 'link'), 'x\n')).rejects.toThrow('ELOOP');
  } finally {
    await rm(directory, { recursive: true });
  }
});
