import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { wayTo } from './plain-way.ts';

const directory = mkdtempSync(join(tmpdir(), 'byteback-way-'));
afterAll(() => rmSync(directory, { recursive: true }));

it('tells a directory that is there from one that is gone, and from a way that leads elsewhere', () => {
  mkdirSync(join(directory, 'a', 'b'), { recursive: true });
  symlinkSync(join(directory, 'a'), join(directory, 'link'));
  symlinkSync('nowhere', join(directory, 'broken'));
  writeFileSync(join(directory, 'file'), '');
  const before = readdirSync('/proc/self/fd').length;
  const found = ['a', 'a/b', 'gone', 'a/gone/b', 'link', 'link/b', 'broken/b', 'file', 'file/b'].map((name) =>
    wayTo(join(directory, name)),
  );
  expect(found).toEqual([
    'there',
    'there',
    'nowhere',
    'nowhere',
    'elsewhere',
    'elsewhere',
    'elsewhere',
    'elsewhere',
    'elsewhere',
  ]);
  expect(wayTo('/')).toBe('there');
  expect(readdirSync('/proc/self/fd')).toHaveLength(before);
});
