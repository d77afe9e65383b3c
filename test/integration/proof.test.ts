import { appendFile, chmod, mkdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// Is what the store holds what the client has? The whole snapshot compared, files drawn by the server, and a restore.
let machine: InstalledMachine;
let client: TestClient;
let tree = '';

interface State {
  lastProven?: { at: string; snapshot: string; files: number; bytes: number };
  drill?: { id: string };
}
const state = async () => JSON.parse(await readFile('/byteback/.byteback/clients/web1.json', 'utf8')) as State;
const drillEvents = async () =>
  (await readFile('/byteback/.byteback/events.jsonl', 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line.includes('"kind":"drill"'));

/** Asks the server as this client does, without byteback's client between. */
const say = async (verb: string, request: unknown) =>
  JSON.parse(
    (
      await client.runWith(
        { input: JSON.stringify(request) },
        ...['ssh', '-F', `${client.configDir}/ssh_config`, '-o', 'BatchMode=yes', 'byteback@127.0.0.1', verb],
      )
    ).stdout,
  ) as { ok: boolean; drill: string; files: { path: string }[] | number; wrong: string[]; what: string };

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  client = await machine.client('web1');
  tree = `${machine.disk}/tree`;
  await mkdir(`${tree}/deep`, { recursive: true });
  await writeFile(`${tree}/page`, 'what it says\n');
  await writeFile(`${tree}/deep/data`, Buffer.alloc(200_000, 'data'));
  await writeFile(`${tree}/old`, 'never touched\n');
  await symlink('page', `${tree}/link`);
  await must(['mkfifo', `${tree}/fifo`]);
  await must(['setfattr', '-n', 'user.colour', '-v', 'blue', `${tree}/page`]);
  await appendFile(
    `${client.configDir}/client.toml`,
    `source = ["${tree}"]\nexclude = ["*.tmp"]\nretry_delay = "1s"\n`,
  );
  await writeFile(`${tree}/left out.tmp`, 'x');
  expect(await client.run('byteback-backup')).toExitWith(0);
}, 200_000);
afterAll(async () => {
  await machine?.dispose();
});

/** Changes a stored file without anything else of it, as a disk without checksums would. */
async function spoil(path: string): Promise<() => Promise<void>> {
  const snapshot = `${client.place}/snapshots/${(await machine.snapshots('web1')).at(-1)}`;
  const file = `${snapshot}/fs${path}`;
  const [content, { atime, mtimeMs }] = [await readFile(file), await stat(file)];
  const times = (await must(['stat', '--format', '%y', file])).stdout.trim();
  const write = async (bytes: Buffer) => {
    await must(['btrfs', 'property', 'set', '-ts', snapshot, 'ro', 'false']);
    await writeFile(file, bytes);
    await utimes(file, atime, mtimeMs / 1000);
    await must(['touch', '--no-create', '--date', times, file]);
    await must(['btrfs', 'property', 'set', '-ts', snapshot, 'ro', 'true']);
  };
  const spoiled = Buffer.from(content);
  spoiled[3] = (spoiled[3] ?? 0) ^ 1;
  await write(spoiled);
  return () => write(content);
}

describe('byteback drill', () => {
  it('compares what the server draws, and the server remembers when', async () => {
    const outcome = await client.run('byteback', 'drill', '--json');
    expect(outcome).toExitWith(0);
    const [snapshot] = await machine.snapshots('web1');
    const report = JSON.parse(outcome.stdout) as object;
    // Three plain files; links, fifos and what is left out are not drawn.
    expect(report).toMatchObject({
      status: 'ok',
      snapshot,
      drawn: 3,
      files: 3,
      bytes: 200_027,
      changed: 0,
      failed: [],
    });
    const { lastProven, drill } = await state();
    expect(lastProven).toMatchObject({ snapshot, files: 3, bytes: 200_027 });
    expect(drill).toBeUndefined();
    expect(await client.run('byteback-backup')).toExitWith(0);
    const record = JSON.parse(await readFile(`${client.place}/current/run.json`, 'utf8')) as State;
    expect(record.lastProven).toEqual(lastProven);
  });

  it('leaves out what has changed here since', async () => {
    await writeFile(`${tree}/page`, 'what it says now\n');
    const outcome = await client.run('byteback', 'drill');
    expect(outcome.stdout).toMatch(/^2 files \(.*\) of .* equal to the originals here; 1 other changed since\n$/);
    expect(await client.run('byteback-backup')).toExitWith(0);
  });

  it('names a file that the store holds otherwise; the server has an event, and proves nothing by it', async () => {
    const before = await state();
    const mend = await spoil(`${tree}/old`);
    const outcome = await client.run('byteback', 'drill');
    expect(outcome).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(`${tree}/old: `) });
    expect((await state()).lastProven).toEqual(before.lastProven);
    const events = await drillEvents();
    expect(events).toHaveLength(1);
    expect(events[0]).toContain('"client":"web1"');
    expect(events[0]).toContain(`${tree}/old`);
    await mend();
    expect(await client.run('byteback', 'drill')).toExitWith(0);
  });

  it('believes no client that has not read its files, nor one that answers what it was not asked', async () => {
    const { drill, files } = await say('drill', '');
    expect(Object.keys((files as object[])[0] ?? {}).toSorted()).toEqual(['mtime', 'path', 'sizeBytes']);
    const paths = (files as { path: string }[]).map(({ path }) => path);
    const lie = paths.map((path) => ({ path, sha256: 'a'.repeat(64) }));
    expect(await say('proof', { drill: 'b'.repeat(32), files: lie })).toMatchObject({ ok: false, exit: 'refused' });
    const before = (await state()).lastProven;
    expect((await say('proof', { drill, files: lie })).wrong.toSorted()).toEqual(paths.toSorted());
    // Once answered it is over; and who says that all of it has changed proves nothing.
    expect(await say('proof', { drill, files: lie })).toMatchObject({ ok: false, exit: 'refused' });
    const again = await say('drill', '');
    const silent = { drill: again.drill, files: paths.map((path) => ({ path, sha256: null })) };
    expect(await say('proof', silent)).toMatchObject({ ok: true, files: 0, wrong: [] });
    expect((await state()).lastProven).toEqual(before);
  });
});

describe('byteback verify', () => {
  it('finds nothing when there is nothing, and writes nothing', async () => {
    expect(await client.run('byteback-backup')).toExitWith(0);
    const outcome = await client.run('byteback', 'verify');
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    expect(outcome.stdout).toContain('is what this machine holds; 0 changes since');
  });

  it('counts what has changed here since', async () => {
    await writeFile(`${tree}/new`, 'new');
    await writeFile(`${tree}/deep/data`, 'other');
    const outcome = await client.run('byteback', 'verify', '--json');
    expect(outcome).toExitWith(0);
    const report = JSON.parse(outcome.stdout) as { changedSince: number };
    expect(report).toMatchObject({ status: 'ok', differences: 0 });
    expect(report.changedSince).toBeGreaterThanOrEqual(2);
    await rm(`${tree}/new`);
    expect(await client.run('byteback-backup')).toExitWith(0);
  });

  it('names what differs though nothing changed here: content, and what the snapshot lacks', async () => {
    const mend = await spoil(`${tree}/old`);
    // Nothing that is only here is new: the clock of the last run says so.
    const lastRun = JSON.parse(await readFile(`${client.stateDir}/last-run.json`, 'utf8')) as object;
    await writeFile(`${tree}/forgotten`, 'never sent');
    await new Promise((resolve) => setTimeout(resolve, 2100));
    const later = { ...lastRun, lastSnapshotBegunAt: new Date(Date.now() + 2000).toISOString() };
    await writeFile(`${client.stateDir}/last-run.json`, JSON.stringify(later));
    const outcome = await client.run('byteback', 'verify', '--json');
    expect(outcome.exitCode).toBe(3);
    const { different } = JSON.parse(outcome.stdout) as { different: { path: string; why: string }[] };
    expect(different).toContainEqual({ path: `${tree}/old`, why: 'it differs from the snapshot: content' });
    expect(different).toContainEqual({ path: `${tree}/forgotten`, why: 'it is here, and not in the snapshot' });
    expect(different.map(({ path }) => path)).not.toContain(`${tree}/left out.tmp`);
    await writeFile(`${client.stateDir}/last-run.json`, JSON.stringify(lastRun));
    await rm(`${tree}/forgotten`);
    await mend();
  });
});

describe('a restore', () => {
  /** The restore that is tried, and an rsync before the real one in PATH that spoils a file by the given shell command. */
  async function spoiledRestore(name: string, spoiling: (file: string, bin: string) => string) {
    const bin = `${machine.scratch}/bin-${name}`;
    const out = `${machine.disk}/out-${name}`;
    const file = `${out}${tree}/old`;
    await mkdir(bin);
    const real = (await must(['which', 'rsync'])).stdout.trim();
    // What came is read when rsync has gone on to the next file, or has ended: the file is spoiled just before either.
    const spoil = spoiling(file, bin);
    await writeFile(
      `${bin}/rsync`,
      [
        '#!/bin/bash',
        'set -o pipefail',
        `case "$*" in *"${out}/") ;; *) exec "${real}" "$@" ;; esac`,
        `"${real}" "$@" | while IFS= read -r line; do`,
        `  case "$line" in *" ${tree.slice(1)}/old") came=yes ;; '=>'*) [ -z "$came" ] || { ${spoil}; came=; } ;; esac`,
        `  printf '%s\\n' "$line"`,
        `done && ${spoil}`,
        '',
      ].join('\n'),
    );
    await chmod(`${bin}/rsync`, 0o755);
    const words = ['byteback-restore', '--restore', '--to', out, `${tree}/old`, `${tree}/page`];
    return { env: { PATH: `${bin}:${process.env.PATH}` }, words, file, turned: `${bin}/turned` };
  }

  /** Between the disk and us: one bit of what rsync has just written is turned; size and time stay. */
  const turnOneBit = (file: string, bin: string) =>
    [
      `touch -r "${file}" "${bin}/time"`,
      `printf N | dd of="${file}" conv=notrunc status=none`,
      `touch -r "${bin}/time" "${file}"`,
      `echo >> "${bin}/turned"`,
    ].join('; ');

  it('notices what is spoiled each time after it came over, by name, with exit 3', async () => {
    const { env, words, file, turned } = await spoiledRestore('always', turnOneBit);
    const outcome = await client.runWith({ env }, ...words, '--json');
    expect(outcome.exitCode).toBe(3);
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      status: 'partial',
      failed: [{ path: `${tree}/old`, why: 'it differs from the snapshot: content' }],
    });
    expect(await readFile(file, 'utf8')).toBe('Never touched\n');
    expect((await readFile(turned, 'utf8')).length).toBeGreaterThan(1);
    // Given once more, without the spoiler, it is put right.
    expect(await client.run(...words, '--overwrite')).toExitWith(0);
    expect(await readFile(file, 'utf8')).toMatch(/^never touched\n$/);
  });

  it('brings once more what was spoiled once, and then says that all is well', async () => {
    const once = (file: string, bin: string) => `[ -e "${bin}/turned" ] || { ${turnOneBit(file, bin)}; }`;
    const { env, words, file, turned } = await spoiledRestore('once', once);
    const outcome = await client.runWith({ env }, ...words, '--json');
    expect(outcome).toExitWith(0);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ status: 'ok', failed: [] });
    expect(await readFile(file, 'utf8')).toMatch(/^never touched\n$/);
    expect((await readFile(turned, 'utf8')).length).toBe(1);
  });

  it('compares in a second pass where rsync was built without the checksum', async () => {
    const bin = `${machine.scratch}/bin-without`;
    await mkdir(bin);
    const real = (await must(['which', 'rsync'])).stdout.trim();
    const lacks = `echo "unknown checksum name: xxh128" >&2; exit 4`;
    await writeFile(`${bin}/rsync`, `#!/bin/sh\ncase "$*" in *=xxh128*) ${lacks} ;; esac\nexec "${real}" "$@"\n`);
    await chmod(`${bin}/rsync`, 0o755);
    const env = { PATH: `${bin}:${process.env.PATH}` };
    const words = ['byteback-restore', '--restore', '--to', `${machine.disk}/out-without`, `${tree}/old`];
    const outcome = await client.runWith({ env }, ...words, '--json', '--debug');
    expect(outcome).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/ "digests 20/) });
    expect(JSON.parse(outcome.stdout)).toMatchObject({ status: 'ok', files: 1, verified: 'checksums', failed: [] });
    expect(await readFile(`${machine.disk}/out-without${tree}/old`, 'utf8')).toMatch(/^never touched\n$/i);
  });
});

describe('on the server, root', () => {
  const onServer = (...words: string[]) => machine.clientToBe('root').run('byteback-restore', '--client', ...words);

  it('lists and restores for a client, without ssh, with all that belongs to a file', async () => {
    expect(await client.run('byteback-backup')).toExitWith(0);
    const listed = await onServer('web1', `${tree}/page`);
    expect(listed).toMatchObject({ exitCode: 0, stderr: '' });
    expect(listed.stdout).toContain(`${tree}/page`);
    expect((await onServer('web1', '--snapshots')).stdout).toContain((await machine.snapshots('web1')).at(-1));
    expect((await onServer('web1', '--machine')).stdout).toContain('byteback client invite web1 --replace');
    await machine.stopSshd();
    const out = `${machine.disk}/of-web1`;
    const restored = await onServer('web1', '--restore', '--privileged', '--all-files', '--to', out);
    await machine.startSshd();
    expect(restored).toExitWith(0);
    expect(restored.stdout).toContain('compared with the server by checksums');
    expect(await compareTrees(tree, `${out}${tree}`, { except: ['left out.tmp'] })).toEqual([]);
  });

  it('is led by no name: a client that is none, and the files of the server itself, are refused', async () => {
    for (const name of ['web2', '../web1', '-x', '']) {
      expect(await onServer(name, '/etc/passwd')).toMatchObject({ exitCode: 2 });
    }
    expect(await onServer('web1', '--restore', '--in-place', `${tree}/page`)).toMatchObject({ exitCode: 2 });
  });

  it('reads as the user that receives: that program writes nothing, and is nobody else\u2019s way in', async () => {
    const local = ['/usr/lib/byteback/node', '/usr/lib/byteback/local.mjs', 'web1', 'localhost'];
    const refused = await machine.clientToBe('root').run(...local, 'prepare');
    expect(refused).toMatchObject({ exitCode: 12, stdout: expect.stringContaining('only reading') });
  });
});
