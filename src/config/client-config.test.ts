import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadClientConfig } from './client-config.ts';
import { clientPaths } from './paths.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'byteback-config-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const put = (name: string, content: string) => writeFile(join(dir, name), content);
const load = () => loadClientConfig(clientPaths({ BYTEBACK_CONFIG_DIR: dir }));

describe('client.toml', () => {
  test('only the destination is needed', async () => {
    await put('client.toml', 'destination = "byteback@backup.example.net:"\n');
    expect(await load()).toEqual({
      destination: 'byteback@backup.example.net:',
      source: ['/'],
      exclude: [],
      retryNumber: 5,
      retryDelayMs: 600_000,
      checkEveryMs: 30 * 86_400_000,
      before: [],
      after: [],
      hookTimeoutMs: 3_600_000,
      ioTimeoutMs: 3_600_000,
      original: { rsyncFlags: [] },
    });
  });

  test('every key', async () => {
    await put(
      'client.toml',
      `destination = "byteback@vault:"
       source = ["/etc/", "/srv//a"]
       exclude = ["/srv/cache", "*.o"]
       retry_number = 0
       retry_delay = "30s"
       io_timeout = "3h"
       bwlimit = "5M"`,
    );
    expect(await load()).toMatchObject({
      source: ['/etc', '/srv/a'],
      exclude: ['/srv/cache', '*.o'],
      retryNumber: 0,
      retryDelayMs: 30_000,
      ioTimeoutMs: 10_800_000,
      bwlimit: '5M',
    });
  });

  test.each([
    ['destination = "vault"', ':1: destination = "vault"', 'no user'],
    ['destination = "byteback@-oProxyCommand=x:"', ':1: destination', 'no host name'],
    ['destination = "b@h:"\nsource = "/"', ':2: source = "/"', 'a list in brackets'],
    ['destination = "b@h:"\nsource = []', ':2: source', 'at least one path'],
    ['destination = "b@h:"\nsource = ["/a",\n"b"]', ':3: source[1] = "b"', 'begins with a slash'],
    ['destination = "b@h:"\nexclude = ["a\\nb"]', ':2: exclude[0]', 'one line of text'],
    ['destination = "b@h:"\nretry_number = -1', ':2: retry_number = -1', 'from 0 to 1000'],
    ['destination = "b@h:"\nretry_dealy = "1m"', ':2: retry_dealy: unknown key', ''],
    ['destination = "b@h:"\nbwlimit = "fast"', ':2: bwlimit = "fast"', 'as rsync has it'],
  ])('%j', async (text, what, why) => {
    await put('client.toml', text);
    await expect(load()).rejects.toMatchObject({
      exit: 'usage',
      explanation: {
        what: expect.stringContaining(`client.toml${what}`),
        ...(why === '' ? {} : { why: expect.stringContaining(why) }),
      },
    });
  });

  test('without a file, and with one that names no destination', async () => {
    await expect(load()).rejects.toMatchObject({
      exit: 'usage',
      explanation: { what: 'this machine is not set up as a client' },
    });
    await put('client.toml', 'source = ["/etc"]');
    await expect(load()).rejects.toMatchObject({
      exit: 'usage',
      explanation: { what: expect.stringContaining('destination is missing') },
    });
  });

  test('a file that cannot be read', async () => {
    await mkdir(join(dir, 'client.toml'));
    await expect(load()).rejects.toMatchObject({
      exit: 'usage',
      explanation: { what: expect.stringContaining('cannot read') },
    });
  });
});

describe('files of the original byteback', () => {
  test('are honoured', async () => {
    await put('destination', 'byteback@old.example.net:/srv/store\n');
    await put('io_timeout', '10800\n');
    await put('excludes', '/tmp\n');
    await put('rsync_filter', '- *.o\n');
    await put('rsync_flags', '--one-file-system --bwlimit=100\n--checksum\n');
    expect(await load()).toMatchObject({
      destination: 'byteback@old.example.net:/srv/store',
      ioTimeoutMs: 10_800_000,
      original: {
        excludesFile: join(dir, 'excludes'),
        filterFile: join(dir, 'rsync_filter'),
        rsyncFlags: ['--one-file-system', '--bwlimit=100', '--checksum'],
      },
    });
  });

  test('client.toml goes before them', async () => {
    await put('destination', 'byteback@old.example.net:\n');
    await put('io_timeout', '1\n');
    await put('client.toml', 'destination = "byteback@new.example.net:"\nio_timeout = "1h"\n');
    expect(await load()).toMatchObject({ destination: 'byteback@new.example.net:', ioTimeoutMs: 3_600_000 });
  });

  test.each([
    ['destination', 'nonsense', 'destination:1: not a destination'],
    ['io_timeout', 'long', 'io_timeout:1: not a number of seconds'],
  ])('a bad %s', async (file, content, what) => {
    await put('client.toml', file === 'destination' ? '' : 'destination = "b@h:"');
    await put(file, content);
    await expect(load()).rejects.toMatchObject({ exit: 'usage', explanation: { what: expect.stringContaining(what) } });
  });
});
