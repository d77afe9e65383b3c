import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  link,
  lstat,
  mkdir,
  readFile,
  rename,
  rm,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// What changes while a run goes on. The run is held once between its scan and its transfer, by a hook of the server, and once
// between its transfer and its end; meanwhile the source changes, and changes back when the run is over. The next run is exact.

/** One change of a directory of its own. */
interface Case {
  readonly name: string;
  /** Before the first run. */
  readonly make: (at: string) => Promise<void>;
  /** Between the first run and the one that is held: so that there is something to send. */
  readonly before?: (at: string) => Promise<void>;
  /** While it is held. */
  readonly during: (at: string) => Promise<void>;
  /** When it is over. */
  readonly after?: (at: string) => Promise<void>;
}

const longAgo = new Date('2024-05-06T07:08:09Z');

async function filesIn(directory: string, count: number, content = 'x'): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (let at = 0; at < count; at += 1) {
    await writeFile(`${directory}/${at}`, `${content} ${at}\n`);
    await utimes(`${directory}/${at}`, longAgo, longAgo);
  }
}

/** Another content of the same size, with the old time. */
async function secretly(path: string, content: string): Promise<void> {
  const { mtime } = await lstat(path);
  await writeFile(path, content);
  await utimes(path, mtime, mtime);
}

let device = '';
const cases: readonly Case[] = [
  {
    name: 'a directory is moved away and back',
    make: (at) => filesIn(`${at}/many`, 25),
    before: (at) => writeFile(`${at}/many/new`, 'new\n'),
    during: (at) => rename(`${at}/many`, `${at}-away`),
    after: (at) => rename(`${at}-away`, `${at}/many`),
  },
  {
    name: 'a file comes and goes',
    make: (at) => filesIn(at, 3),
    before: (at) => writeFile(`${at}/0`, 'changed\n'),
    during: (at) => writeFile(`${at}/comes`, 'and goes\n'),
    after: (at) => rm(`${at}/comes`),
  },
  {
    name: 'a new mail is read',
    async make(at) {
      await filesIn(`${at}/cur`, 2);
      await mkdir(`${at}/new`);
    },
    before: (at) => writeFile(`${at}/new/1`, 'a mail\n'),
    during: (at) => rename(`${at}/new/1`, `${at}/cur/1`),
  },
  {
    name: 'a new mail is read, and unread, by a run that is over',
    async make(at) {
      await filesIn(`${at}/cur`, 2);
      await filesIn(`${at}/new`, 2, 'mail');
    },
    during: (at) => rename(`${at}/new/1`, `${at}/cur/9`),
    after: (at) => rename(`${at}/cur/9`, `${at}/new/1`),
  },
  {
    name: 'the directory of a large changed file is away for a moment',
    async make(at) {
      await mkdir(`${at}/large`, { recursive: true });
      await writeFile(`${at}/large/image`, Buffer.alloc(1_200_000, 'a large one '));
    },
    before: (at) => appendFile(`${at}/large/image`, 'grown\n'),
    during: (at) => rename(`${at}/large`, `${at}-away`),
    after: (at) => rename(`${at}-away`, `${at}/large`),
  },
  {
    name: 'a large file with its old time is away for a moment',
    async make(at) {
      await mkdir(`${at}/large`, { recursive: true });
      await writeFile(`${at}/large/image`, Buffer.alloc(1_200_000, 'a large one '));
    },
    before: (at) => secretly(`${at}/large/image`, 'another one '.repeat(100_000)),
    during: (at) => rename(`${at}/large`, `${at}-away`),
    after: (at) => rename(`${at}-away`, `${at}/large`),
  },
  {
    name: 'a file system is unmounted and mounted again',
    async make(at) {
      await mkdir(`${at}`, { recursive: true });
      await must(['mount', device, at]);
      await filesIn(`${at}/on-it`, 30);
    },
    before: (at) => writeFile(`${at}/on-it/30`, 'new\n'),
    async during(at) {
      await must(['umount', at]);
    },
    async after(at) {
      await must(['mount', device, at]);
    },
  },
  {
    name: 'a file changes again and gets its old time',
    make: (at) => filesIn(at, 3, 'one'),
    before: (at) => secretly(`${at}/1`, 'two 1\n'),
    during: (at) => secretly(`${at}/1`, 'six 1\n'),
    after: (at) => secretly(`${at}/1`, 'ten 1\n'),
  },
  {
    name: 'a file changes, and again, with the time that was sent',
    make: (at) => filesIn(at, 3, 'one'),
    before: (at) => writeFile(`${at}/1`, 'two 1\n'),
    during: (at) => writeFile(`${at}/1`, 'six 1\n'),
    after: (at) => secretly(`${at}/1`, 'ten 1\n'),
  },
  {
    name: 'two directories of files that look the same change places for a moment',
    async make(at) {
      await filesIn(`${at}/a`, 3, 'one');
      await filesIn(`${at}/b`, 3, 'two');
    },
    async before(at) {
      await filesIn(`${at}/a`, 5, 'six');
      await filesIn(`${at}/b`, 5, 'ten');
    },
    during: swap,
    after: swap,
  },
  {
    name: 'a renamed directory is renamed again, and back',
    make: (at) => filesIn(`${at}/a`, 12),
    before: (at) => rename(`${at}/a`, `${at}/b`),
    during: (at) => rename(`${at}/b`, `${at}/c`),
    after: (at) => rename(`${at}/c`, `${at}/b`),
  },
  {
    name: 'links are made and cut',
    async make(at) {
      await filesIn(at, 3);
      await link(`${at}/0`, `${at}/zero`);
    },
    before: (at) => link(`${at}/1`, `${at}/one`),
    async during(at) {
      await rm(`${at}/zero`);
      await writeFile(`${at}/zero`, 'x 0\n');
      await utimes(`${at}/zero`, longAgo, longAgo);
      await rm(`${at}/one`);
      await link(`${at}/2`, `${at}/one`);
    },
    async after(at) {
      await rm(`${at}/one`);
      await link(`${at}/1`, `${at}/one`);
    },
  },
  {
    name: 'a directory is a file for a while',
    make: (at) => filesIn(`${at}/d`, 6),
    before: (at) => writeFile(`${at}/d/new`, 'new\n'),
    async during(at) {
      await rename(`${at}/d`, `${at}-away`);
      await writeFile(`${at}/d`, 'a file\n');
    },
    async after(at) {
      await rm(`${at}/d`);
      await rename(`${at}-away`, `${at}/d`);
    },
  },
];

async function swap(at: string): Promise<void> {
  await rename(`${at}/a`, `${at}-away`);
  await rename(`${at}/b`, `${at}/a`);
  await rename(`${at}-away`, `${at}/b`);
}

const hook = '/etc/byteback/hooks/prepare.d/hold';
let machine: InstalledMachine;
/** While it is there runs are held; what has come to the hold says so by a second file. */
let hold = '';
let wrapped = '';

beforeAll(async () => {
  machine = await installedMachine();
  await must(['sed', '-i', '1i snapshots_per_day = 10000', '/etc/byteback/server.toml']);
  hold = `${machine.scratch}/hold`;
  const waits = `if [ -e ${hold} ]; then touch ${hold}ed; while [ -e ${hold} ]; do sleep 0.05; done; fi`;
  await mkdir('/etc/byteback/hooks/prepare.d', { recursive: true });
  await writeFile(hook, `#!/bin/sh\n${waits}\n`);
  // What the client starts in rsync's place: held when the last pass is over.
  wrapped = `${machine.scratch}/bin`;
  await mkdir(wrapped);
  const argv = '/usr/bin/rsync "$@"; code=$?';
  await writeFile(`${wrapped}/rsync`, `#!/bin/sh\n${argv}\ncase "$*" in *transfer*) ${waits} ;; esac\nexit $code\n`);
  await chmod(`${wrapped}/rsync`, 0o755);
  const image = `${machine.scratch}/other.img`;
  await writeFile(image, '');
  await truncate(image, 32 * 1024 ** 2);
  await must(['mkfs.ext4', '-q', '-F', image]);
  device = (await must(['losetup', '-f', '--show', image])).stdout.trim();
});

afterAll(async () => {
  await command(['sh', '-c', `grep '^${device} ' /proc/mounts | cut -d' ' -f2 | xargs -r umount`]);
  await command(['losetup', '-d', device]);
  await rm('/etc/byteback/hooks', { recursive: true, force: true });
  await machine?.dispose();
});

/** A run that is held; `meanwhile` is done then. */
async function heldRun(
  client: TestClient,
  where: 'after the scan' | 'after the transfer',
  argv: readonly string[],
  meanwhile: () => Promise<void>,
): Promise<string> {
  await writeFile(hold, '');
  await rm(`${hold}ed`, { force: true });
  await chmod(hook, where === 'after the scan' ? 0o755 : 0o644);
  const path = where === 'after the scan' ? process.env['PATH'] : `${wrapped}:${process.env['PATH']}`;
  const run = spawn('byteback-backup', ['--verbose', '--retry-number', '0', ...argv], {
    env: { ...process.env, ...client.env, PATH: path },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  run.stderr.on('data', (chunk: Buffer) => {
    said += chunk;
  });
  const ended = once(run, 'close');
  try {
    while (run.exitCode === null && !existsSync(`${hold}ed`)) await sleep(20);
    expect(run.exitCode, said).toBeNull();
    await meanwhile();
  } finally {
    await rm(hold);
  }
  const [code] = await ended;
  expect([0, 3], said).toContain(code);
  return said;
}

async function differencesOf(client: TestClient, tree: string): Promise<string[]> {
  const snapshot = (await machine.snapshots(client.name)).at(-1);
  const copy = `${client.place}/snapshots/${snapshot}/fs${tree}`;
  return compareTrees(tree, copy, { rights: false, attributes: false });
}

async function clientFor(name: string, tree: string): Promise<TestClient> {
  await mkdir(tree);
  const client = await machine.client(name, '--source', tree);
  // A mounted image is left out unless it is named; it is not in the tree yet.
  const file = `${client.configDir}/client.toml`;
  await writeFile(file, (await readFile(file, 'utf8')).replace(/^source = .*$/m, `source = ["${tree}"]`));
  return client;
}

const placeOf = (tree: string, at: number) => `${tree}/case-${at}`;

/** All of them in one tree, each in a directory of its own. */
async function together(
  name: string,
  where: 'after the scan' | 'after the transfer',
  argv: readonly string[],
): Promise<void> {
  const tree = `${machine.disk}/${name}`;
  const client = await clientFor(name, tree);
  const each = async (step: 'make' | 'before' | 'during' | 'after') => {
    for (const [at, one] of cases.entries()) {
      if (step === 'make' && !one.name.includes('mounted')) await mkdir(placeOf(tree, at));
      await one[step]?.(placeOf(tree, at));
    }
  };
  await each('make');
  const mounted = cases.findIndex((one) => one.name.includes('mounted'));
  const file = `${client.configDir}/client.toml`;
  const sources = `source = ["${tree}", "${placeOf(tree, mounted)}"]`;
  await writeFile(file, (await readFile(file, 'utf8')).replace(/^source = .*$/m, sources));
  expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
  await each('before');
  // What is older than a scan by less than two seconds is looked at again in any case.
  await sleep(2100);
  const said = await heldRun(client, where, argv, () => each('during'));
  await each('after');
  const next = await client.run('byteback-backup', '--verbose');
  expect(next.exitCode, next.stderr).toBe(0);
  expect(await differencesOf(client, tree), `${said}\n${next.stderr}`).toEqual([]);
  await must(['umount', placeOf(tree, mounted)]);
}

describe('what changes between scan and transfer is exact at the next run', () => {
  it('when only changes are sent', () => together('scan-changes', 'after the scan', []));
  it('when everything is walked', () => together('scan-walk', 'after the scan', ['--full']));

  // One after the other, so that no case is helped by what another one makes the run do.
  it('case by case', { timeout: 600_000 }, async () => {
    const tree = `${machine.disk}/alone`;
    const client = await clientFor('alone', tree);
    for (const [at, one] of cases.entries()) {
      if (one.name.includes('mounted')) continue;
      await mkdir(placeOf(tree, at));
      await one.make(placeOf(tree, at));
    }
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
    for (const [at, one] of cases.entries()) {
      if (one.name.includes('mounted')) continue;
      const place = placeOf(tree, at);
      await one.before?.(place);
      const said = await heldRun(client, 'after the scan', [], () => one.during(place));
      await one.after?.(place);
      const next = await client.run('byteback-backup', '--verbose');
      expect(next.exitCode, next.stderr).toBe(0);
      expect(await differencesOf(client, tree), `${one.name}\n${said}\n${next.stderr}`).toEqual([]);
    }
  });
});

describe('what changes between transfer and snapshot is exact at the next run', () => {
  it('when only changes are sent', () => together('sent-changes', 'after the transfer', []));
  it('when everything is walked', () => together('sent-walk', 'after the transfer', ['--full']));
});

it("rsync's names for the time being are in no snapshot, whatever was killed", { timeout: 300_000 }, async () => {
  const tree = `${machine.disk}/killed`;
  const client = await clientFor('killed', tree);
  await filesIn(`${tree}/d`, 3);
  expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
  const names = async (at: string) =>
    (await must(['find', at, '-name', '.*.??????', '-printf', '%f\\n'])).stdout.split('\n').filter((name) => name);
  const toEnd: [string, string[], string[]][] = [
    ['the receiver', ['-u', 'byteback', '-f', '^rsync --server'], []],
    ['all of the server', ['-u', 'byteback', '-f', 'bwrap|receive|rsync'], []],
    ['the sender', ['-x', 'rsync', '-u', 'root'], []],
    ['the receiver, of excluded names', ['-u', 'byteback', '-f', '^rsync --server'], ['--exclude', '.*']],
  ];
  for (const [at, [who, pattern, more]] of toEnd.entries()) {
    // Large files, and those that are there already, may be written in place, under their own names.
    await writeFile(`${tree}/d/big-${at}`, randomBytes(900_000));
    const argv = ['--verbose', '--bwlimit', '300K', '--retry-delay', '1s', ...more];
    const run = spawn('byteback-backup', argv, { env: { ...process.env, ...client.env }, stdio: 'ignore' });
    const ended = once(run, 'close');
    while (run.exitCode === null && (await names(`${client.place}/current/fs`)).length === 0) await sleep(20);
    expect(run.exitCode, who).toBeNull();
    await command(['pkill', '-KILL', ...pattern]);
    const [code] = await ended;
    if (code !== 0) {
      const next = await client.run('byteback-backup', '--retry-number', '5', '--retry-delay', '1s', ...more);
      expect(next.exitCode, `${who}\n${next.stderr}`).toBe(0);
    }
    const snapshot = (await machine.snapshots('killed')).at(-1);
    expect(await names(`${client.place}/snapshots/${snapshot}/fs`), who).toEqual([]);
    expect(await names(`${client.place}/current/fs`), who).toEqual([]);
    expect(await differencesOf(client, tree), who).toEqual([]);
  }
});
