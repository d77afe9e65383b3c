import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { escapeName } from '../protocol/file-name.ts';
import { parseSnapshotName, type SnapshotName } from '../protocol/names.ts';
import { run } from '../system/run.ts';
import { acceptedOfXargs, lookUpPaths, parseStats } from './path-versions.ts';
import { versionsInside } from './sandbox/inside/versions.ts';

const snapshots = ['2026-11-20T030000Z', '2026-11-21T030000Z'].map((name) => parseSnapshotName(name) as SnapshotName);
const home = process.cwd();
let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'byteback-versions-'));
  process.chdir(directory);
});
afterEach(() => {
  process.chdir(home);
  rmSync(directory, { recursive: true });
});

test('finds what the program in the jail finds, whatever the names and times', async () => {
  const names = ['plain', 'two\nlines', 'tab\t and \\ back', 'é', '-n', ' ', '%s\\0', '# file: x'];
  for (const [at, snapshot] of snapshots.entries()) {
    const top = `${snapshot}/fs/srv`;
    mkdirSync(top, { recursive: true });
    for (const [number, name] of names.entries()) {
      if (at === 1 && number % 3 === 0) continue;
      writeFileSync(join(top, name), 'x'.repeat(number));
      await run(['touch', `--date=@${number - 2.25}`, '--', join(top, name)]);
    }
    writeFileSync(Buffer.concat([Buffer.from(`${top}/caf`), Buffer.from([0xe9])]), 'latin');
    symlinkSync('/etc/passwd', `${top}/link`);
  }
  const paths = [
    '/srv',
    '/srv/missing',
    '/srv/plain/below',
    ...names.map((name) => escapeName(Buffer.from(`/srv/${name}`))),
    '/srv/caf\\xe9',
  ];
  const found = await lookUpPaths(
    snapshots,
    paths,
    async (argv, input) => (await run(argv, { input, accept: acceptedOfXargs })).stdout,
  );
  const { versions } = await versionsInside(Buffer.from(JSON.stringify({ snapshots, paths })));
  expect(found).toEqual(versions);
  expect(found.length).toBeGreaterThan(14);
  expect(found.some(({ mtime }) => mtime === '-3.750000000' || mtime === '-2.250000000')).toBe(true);
  const [link] = await lookUpPaths(
    snapshots,
    ['/srv/link'],
    async (argv, input) => (await run(argv, { input, accept: acceptedOfXargs })).stdout,
  );
  expect(link).toMatchObject({ type: 'link', sizeBytes: 11 });
});

test('what stat did not print as it should is left out', () => {
  const good = '81a4 0 0 5 -1.500000000';
  expect([...parseStats(`${good}\0./a\0nonsense\0./b\0${good}`)]).toEqual([
    ['./a', { mode: 0x81a4n, uid: 0n, gid: 0n, size: 5n, mtimeNs: -1_500_000_000n }],
  ]);
});
