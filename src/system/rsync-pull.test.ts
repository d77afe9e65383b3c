import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { xxhash128 } from 'hash-wasm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isRefusal, parseRsyncWords } from '../protocol/rsync-options.ts';
import { largeBytes, type Pull, type PullRequest, pullArgv, runPull } from './rsync-pull.ts';
import { type PullItem, parsePullItem } from './rsync-pull-told.ts';

const pull: Omit<Pull, 'mode'> = {
  sessionArgv: ['ssh', '-F', '/etc/byteback/ssh_config'],
  host: 'byteback@vault',
  remoteCommand: 'restore 2026-11-20T030000Z',
  listFile: '/tmp/list',
  directory: '/srv/out',
  ioTimeoutMs: 60_000,
};

describe('pullArgv', () => {
  test('brings everything that belongs to a file, from a list of names', () => {
    const argv = pullArgv({ ...pull, mode: { kind: 'fresh' } });
    for (const word of [
      '-aHAX',
      '-r',
      '--numeric-ids',
      '--from0',
      '--files-from=/tmp/list',
      '--partial',
      '--timeout=60',
    ]) {
      expect(argv).toContain(word);
    }
    expect(argv.slice(-3)).toEqual(['--', 'byteback@vault:.', '/srv/out/']);
  });

  test('needs no list for everything', () => {
    const argv = pullArgv({ ...pull, everything: true, mode: { kind: 'compare', keepParents: true } });
    expect(argv).toContain('-aHAX');
    expect(argv.join(' ')).not.toMatch(/--files-from|--from0|--no-implied-dirs| -r /);
  });

  test('writes no half file over one that is in use, and keeps what it replaces', () => {
    const argv = pullArgv({
      ...pull,
      mode: { kind: 'over', suffix: '.before-2026-11-21T000000Z', keepParents: true, checksum: false },
    });
    expect(argv).toEqual(
      expect.arrayContaining([
        '--partial-dir=.byteback-partial',
        '--backup',
        '--suffix=.before-2026-11-21T000000Z',
        '--no-implied-dirs',
      ]),
    );
    expect(argv).not.toContain('--partial');
    expect(
      pullArgv({ ...pull, mode: { kind: 'over', suffix: undefined, keepParents: false, checksum: false } }),
    ).not.toContain('--backup');
  });

  test('compares without writing', () => {
    expect(pullArgv({ ...pull, mode: { kind: 'compare', keepParents: false } })).toEqual(
      expect.arrayContaining(['--dry-run', '--checksum']),
    );
  });
});

test('leaves large files to a pull that makes holes, and is told checksums only when it asks', () => {
  const most = pullArgv({ ...pull, mode: { kind: 'fresh' }, files: 'most', digests: true });
  expect(most).toEqual(
    expect.arrayContaining(['--max-size=1048575', '--checksum-choice=xxh128', '--out-format==%i C%C %l %n']),
  );
  expect(most).not.toContain('--sparse');
  const others = pullArgv({ ...pull, mode: { kind: 'fresh' }, files: 'withHoles' });
  expect(others).toContain('--sparse');
  expect(others.join(' ')).not.toMatch(/max-size|checksum/);
});

test.each([
  ['-lHogDtpAXrRSe.iLsfxCIvu --numeric-ids --timeout=60 --files-from=- --from0 . .'],
  ['-lHogDtpAXre.iLsfxCIvu --numeric-ids --timeout=60 . .'],
  ['-nlHogDtpAXrcRe.iLsfxCIvu --numeric-ids --timeout=60 --files-from=- --from0 . .'],
  [
    '-blHogDtpAXrRe.iLsfxCIvu --suffix=.before-2026-11-21T000000Z --numeric-ids --timeout=60 --files-from=- --from0 --no-implied-dirs . .',
  ],
])('the server takes what rsync makes of it: %s', (words) => {
  expect(isRefusal(parseRsyncWords('pull', words.split(' ')))).toBe(false);
});

test('items', () => {
  expect(parsePullItem('=>f.st...... 12 srv/a\\#012b')).toEqual({
    flags: '>f.st......',
    content: true,
    sizeBytes: 12,
    name: Buffer.from('srv/a\nb'),
  });
  expect(parsePullItem(`=>f+++++++++ C${'a1'.repeat(16)} 12 srv/a`)).toMatchObject({
    sizeBytes: 12,
    digest: 'a1'.repeat(16),
    name: Buffer.from('srv/a'),
  });
  const other = parsePullItem(`=cd+++++++++ C${' '.repeat(32)} 0 srv/`);
  expect(other).toMatchObject({ content: false, name: Buffer.from('srv/') });
  expect(other).not.toHaveProperty('digest');
  expect(parsePullItem('=cd+++++++++ 0 srv/')).toMatchObject({ content: false, name: Buffer.from('srv/') });
  expect(parsePullItem('sent 5 bytes')).toBeUndefined();
});

describe('a pull from this machine', () => {
  let directory = '';
  let local: Pull;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'byteback-pull-'));
    const rsh = join(directory, 'rsh');
    writeFileSync(rsh, '#!/bin/sh\nshift\nexec "$@"\n', { mode: 0o755 });
    mkdirSync(join(directory, 'out'));
    writeFileSync(join(directory, 'small'), 'small');
    writeFileSync(join(directory, 'large'), Buffer.alloc(largeBytes));
    const listFile = join(directory, 'list');
    const out = join(directory, 'out');
    local = {
      ...pull,
      sessionArgv: [rsh],
      host: 'h',
      remoteCommand: 'rsync',
      listFile,
      directory: out,
      mode: { kind: 'fresh' },
    };
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const list = (...names: string[]) => Buffer.from(names.map((name) => `${directory.slice(1)}/${name}\0`).join(''));
  const there = () => readdirSync(join(directory, 'out'));

  test('that was started ahead writes nothing before it has its list, and then what is in it', async () => {
    const { promise: request, resolve } = Promise.withResolvers<PullRequest | undefined>();
    const result = runPull({ ...local, files: 'most', digests: true }, { request });
    await new Promise((resolved) => setTimeout(resolved, 300));
    expect(there()).toEqual([]);
    const items: PullItem[] = [];
    resolve({ list: list('small', 'large'), watcher: { item: (item) => void items.push(item) } });
    expect(await result).toMatchObject({
      exitCode: 0,
      files: 1,
      bytes: 5,
      lacksDigests: false,
    });
    expect(items.find(({ content }) => content)?.digest).toBe(await xxhash128('small'));
    expect(readFileSync(`${directory}/out${directory}/small`, 'utf8')).toBe('small');
  });

  test('that was started ahead and is given up ends, and has written nothing', async () => {
    const result = await runPull(local, { request: Promise.resolve(undefined) });
    expect(result).toMatchObject({ exitCode: 137, files: 0, moved: false });
    expect(there()).toEqual([]);
  });

  test('from an rsync that does not know the checksum says so', async () => {
    writeFileSync(local.sessionArgv[0] ?? '', '#!/bin/sh\necho "unknown checksum name: xxh128" >&2\nexit 4\n');
    writeFileSync(local.listFile, list('small'));
    expect(await runPull({ ...local, digests: true })).toMatchObject({ lacksDigests: true });
  });

  test('ends when who watches it fails, with that error', async () => {
    writeFileSync(local.listFile, list('small', 'large'));
    const watcher = {
      item: () => {
        throw new Error('seen enough');
      },
    };
    await expect(runPull(local, { watcher })).rejects.toThrow('seen enough');
  });
});
