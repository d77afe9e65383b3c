import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must, type Outcome } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { makeNastyTree } from '../helpers/nasty-tree.ts';
import { type Wire, wireOf, wireWithKey } from '../helpers/wire.ts';

let machine: InstalledMachine;
let web1: TestClient;
let web2: TestClient;
let wire: Wire;
let tree: string;

beforeAll(async () => {
  machine = await installedMachine({ size: '2G' });
  web1 = await machine.client('web1');
  web2 = await machine.client('web2');
  wire = wireOf(machine, web1);
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'content\n');
  await writeFile(join(tree, 'payroll.txt'), 'secret\n');
  await wireOf(machine, web2).backUp(`${tree}/`);
  // Short, so that tests of silence do not take ten minutes. In front: after it may come a table.
  await must(['sed', '-i', '1i idle_timeout = "4s"', '/etc/byteback/server.toml']);
});

afterAll(async () => {
  await machine?.dispose();
});

const fs = () => join(web1.place, 'current/fs');
const runRecord = async () => JSON.parse(await readFile(join(web1.place, 'current/run.json'), 'utf8'));
const jailed = async () =>
  (await command(['pgrep', '-u', 'byteback', '-f', '^rsync --server'])).stdout.trim().split('\n').filter(Boolean);

/** Waits until something holds, for 20 seconds at most. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (await holds()) return;
    await wait(100);
  }
  throw new Error(`it never came to be: ${what}`);
}

/** The server exits 76; rsync gives that on, or its own 12 where it notices the closed pipe first. */
function expectRefused({ exitCode, stderr }: Outcome, why = 'byteback: '): void {
  expect(stderr).toContain(why);
  expect([76, 12]).toContain(exitCode);
}

async function bigFile(name: string, mebibytes: number): Promise<string> {
  const directory = join(machine.disk, name);
  await mkdir(directory, { recursive: true });
  for (let i = 0; i < mebibytes; i += 16) await appendFile(join(directory, 'big'), randomBytes(16 * 1024 * 1024));
  return `${directory}/`;
}

describe('a whole run over the wire', () => {
  it('gives back a nasty tree exactly, devices, links, ACLs and all', async () => {
    const nasty = join(machine.disk, 'nasty');
    await makeNastyTree(nasty);
    const snapshot = await wire.backUp(`${nasty}/`);
    const to = join(machine.disk, 'nasty-back');
    expect(await wire.fetch(snapshot, ['.'], `${to}/`)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await compareTrees(nasty, to)).toEqual([]);
  });

  it('lists snapshots and versions, strange names and corrupt records included', async () => {
    const odd = join(machine.disk, 'odd');
    await mkdir(odd);
    await writeFile(join(odd, '-rf'), '12345');
    await writeFile(join(odd, 'new\nline'), '');
    await writeFile(Buffer.concat([Buffer.from(`${odd}/bad-`), Buffer.from([0xff, 0xc3])]), 'x');
    await must(['ln', '-s', '../target \x1b[31m', join(odd, 'link')]);
    await writeFile(join(odd, 'corrupt'), 'x');
    await must(['chown', '12:34', join(odd, '-rf')]);
    await chmod(join(odd, '-rf'), 0o640);
    const run = await wire.prepare();
    expect(await wire.push(run, `${odd}/`)).toExitWith(0);
    await must(['setfattr', '-n', 'user.rsync.%stat', '-v', 'no stat at all', join(fs(), 'corrupt')]);
    const { snapshot } = JSON.parse((await wire.complete(run)).stdout) as { snapshot: string };
    // rsync itself stops at such a file.
    await rm(join(fs(), 'corrupt'));
    expect(await wire.reply('snapshots')).toMatchObject({
      ok: true,
      snapshots: expect.arrayContaining([{ snapshot, status: 'ok' }]),
    });
    const paths = ['/-rf', '/new\\x0aline', '/bad-\\xff\\xc3', '/link', '/corrupt', '/missing'];
    const { versions } = (await wire.reply('versions', { paths })) as {
      versions: { snapshot: string; path: string }[];
    };
    const here = versions.filter((version) => version.snapshot === snapshot);
    expect(here.map(({ path }) => path)).toEqual(paths.slice(0, 5));
    expect(here[0]).toMatchObject({ type: 'file', sizeBytes: 5, mode: 0o640, uid: 12, gid: 34 });
    expect(here[2]).toMatchObject({ type: 'file', mode: 0o644, uid: 0, gid: 0 });
    expect(here[3]).toMatchObject({ type: 'link', target: '../target \\x1b[31m' });
    expect(here[4]).toMatchObject({ type: 'unknown', mode: null, uid: null, gid: null });
  });

  it('refuses paths to look up that go upwards', async () => {
    for (const path of ['/../../web2', 'etc', '/a/./b', '/a//b', '/a\\x00b', '']) {
      expect(await wire.reply('versions', { paths: [path] })).toMatchObject({ ok: false, exit: 'usage' });
    }
  });

  it('looks up and restores nothing through a link that was planted', async () => {
    const run = await wire.prepare();
    await wire.push(run, `${tree}/`);
    // Only somebody who has taken over the receiver could do it, from outside the jail.
    await must(['ln', '-s', '/byteback/clients/web2/current/fs', join(fs(), 'elsewhere')]);
    await must(['ln', '-s', '../../../../web2/current/fs', join(fs(), 'upwards')]);
    const { snapshot } = JSON.parse((await wire.complete(run)).stdout) as { snapshot: string };
    const paths = ['/elsewhere/payroll.txt', '/upwards/payroll.txt'];
    const { versions } = (await wire.reply('versions', { paths })) as { versions: object[] };
    expect(versions).toEqual([]);
    const to = join(machine.disk, 'planted');
    await wire
      .fetch(snapshot, ['elsewhere/payroll.txt', 'upwards/payroll.txt'], `${to}/`, '--copy-links')
      .catch(() => undefined);
    await wire.fetch(snapshot, ['elsewhere/payroll.txt', 'upwards/payroll.txt'], `${to}/`);
    expect((await command(['grep', '-r', 'secret', to])).stdout).toBe('');
    await must(['rm', join(fs(), 'elsewhere'), join(fs(), 'upwards')]);
  });
});

describe('who may do what', () => {
  it('gives nobody a shell', async () => {
    for (const text of ['', 'id', 'sh -c id', '/bin/sh', 'ping; id']) {
      const { stdout, exitCode } = await wire.ask(text);
      expect(exitCode).toBe(12);
      expect(stdout).not.toContain('uid=');
      expect(JSON.parse(stdout)).toMatchObject({ ok: false, exit: 'refused' });
    }
  });

  it('answers a ping of a client, with its name', async () => {
    expect(await wire.reply('ping')).toMatchObject({ ok: true, protocol: 1, client: 'web1' });
  });

  it('lets an admin only register', async () => {
    const admin = wireWithKey(machine, machine.adminKey);
    for (const verb of ['ping', 'prepare', 'snapshots', 'redeem', 'outcome']) {
      expect(await admin.reply(verb, {})).toMatchObject({ ok: false, exit: 'refused' });
    }
    expect(
      await admin.ask(`transfer ${'0'.repeat(32)} --server -lHogDtpAXre.iLsfxCIvu -@-1 --numeric-ids . .`),
    ).toMatchObject({
      exitCode: 76,
      stdout: '',
    });
  });

  it('lets a client neither register nor redeem', async () => {
    for (const verb of ['register', 'redeem'])
      expect(await wire.reply(verb, {})).toMatchObject({ ok: false, exit: 'refused' });
  });

  it('refuses a clone', async () => {
    await expect(wire.prepare('2'.repeat(64))).rejects.toThrow('not the machine');
  });

  it('tells a refused transfer apart by 76, with the reason on stderr', async () => {
    expectRefused(await wire.push('f'.repeat(32), `${tree}/`), 'a newer run has taken its place');
  });
});

describe('what the admin allows', () => {
  const toml = '/etc/byteback/server.toml';
  it('is asked for each command', async () => {
    const before = await readFile(toml, 'utf8');
    const allow = (...rights: string[]) =>
      writeFile(toml, `${before}\n[client."web1"]\nallow = [${rights.map((right) => `"${right}"`).join(', ')}]\n`);
    try {
      await allow('prepare', 'transfer', 'complete');
      for (const verb of ['snapshots', 'versions', 'find', 'changes']) {
        expect(await wire.reply(verb, {})).toMatchObject({
          ok: false,
          exit: 'refused',
          what: 'refused',
        });
      }
      const [snapshot = ''] = await machine.snapshots('web1');
      expectRefused(await wire.fetch(snapshot, ['.'], `${join(machine.disk, 'not-allowed')}/`), 'byteback: refused');
      await allow('restore');
      expect((await wire.ask('snapshots')).exitCode).toBe(0);
      await expect(wire.prepare()).rejects.toThrow('"what":"refused"');
      expect((await wire.complete('a'.repeat(32))).exitCode).toBe(12);
      for (const text of [`separate ${'a'.repeat(32)}`, `replay ${'a'.repeat(32)}`])
        expectRefused(await wire.ask(text), 'byteback: refused');
      expectRefused(await wire.push('a'.repeat(32), `${tree}/`), 'byteback: refused');
    } finally {
      await writeFile(toml, before);
    }
  });
});

describe('runs', () => {
  it('complete needs a transfer that ended well', async () => {
    const run = await wire.prepare();
    expect(await wire.complete(run)).toExitWith(12);
    const before = await machine.snapshots('web1');
    expect(await wire.push(run, `${tree}/`)).toMatchObject({ exitCode: 0, stderr: '' });
    const first = await wire.complete(run);
    expect(first.exitCode).toBe(0);
    // Asked again, the answer is the same, and there is no other snapshot.
    expect((await wire.complete(run)).stdout).toBe(first.stdout);
    expect(await machine.snapshots('web1')).toHaveLength(before.length + 1);
    // A completed run takes nothing any more.
    expectRefused(await wire.push(run, `${tree}/`));
  });

  it('one that says it is completed, but whose snapshot was never taken, is no generation to build on', async () => {
    await wire.backUp(`${tree}/`);
    const file = join(web1.place, 'current/run.json');
    const record = await runRecord();
    const prepared = async () => {
      const request = { protocol: 1, version: 'test', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 };
      return wire.reply('prepare', request);
    };
    // As after a crash between the record and the snapshot.
    const run = 'c'.repeat(32);
    const torn = { ...record, run, snapshot: '2099-01-01T000000Z', bootId: '00000000-0000-4000-8000-000000000000' };
    await writeFile(file, JSON.stringify(torn));
    expect(JSON.parse((await wire.complete(run)).stdout)).toMatchObject({ ok: false, what: `run ${run} is refused` });
    expect(await readdir(join(web1.place, 'snapshots'))).not.toContain(torn.snapshot);
    expect(await prepared()).toMatchObject({ ok: true, generation: null });
    // One that was taken, and pruned since, still is.
    await writeFile(file, JSON.stringify({ ...record, snapshot: '2099-01-01T000000Z' }));
    expect(await prepared()).toMatchObject({ ok: true, generation: record.run });
    await wire.backUp(`${tree}/`);
  });

  it('a check tells what differs, needs no run, and writes nothing whoever asks', async () => {
    await wire.backUp(`${tree}/`);
    const other = join(machine.disk, 'checked');
    await must(['cp', '-a', tree, other]);
    await must([
      'sh',
      '-c',
      `printf 'CONTENT\n' > ${other}/file; touch -r ${tree}/file ${other}/file; echo > ${other}/new`,
    ]);
    const before = { record: await runRecord(), names: await readdir(fs()) };
    const check = (...options: string[]) =>
      command(
        wire
          .pushArgv('', `${other}/`, '--checksum', '--itemize-changes', ...options)
          .map((word) => (word.startsWith('--rsync-path=') ? '--rsync-path=check' : word)),
      );
    const told = await check('--dry-run');
    expect(told.exitCode, told.stderr).toBe(0);
    expect(told.stdout).toMatch(/^<fc\.{8,9} file$/m);
    expect(told.stdout).toMatch(/^<f\+{9} new$/m);
    expect(told.stdout).not.toContain('payroll.txt');
    // One that sends the content all the same, and one that asks the server to write.
    await check('--remote-option=-n');
    expectRefused(await check(), 'the option -n is missing');
    expect({ record: await runRecord(), names: await readdir(fs()) }).toEqual(before);
    expect(await readFile(join(fs(), 'file'), 'utf8')).toBe('content\n');
  });

  it('a new prepare supersedes the open run', async () => {
    const old = await wire.prepare();
    const next = await wire.prepare();
    expectRefused(await wire.push(old, `${tree}/`));
    expect(await wire.reply('outcome', { run: old })).toMatchObject({ ok: true, failure: { exit: 'refused' } });
    expect(await wire.push(next, `${tree}/`)).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await wire.complete(old)).exitCode).toBe(12);
    expect((await wire.complete(next)).exitCode).toBe(0);
    expect(
      await wire.reply('prepare', { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 }),
    ).toMatchObject({
      generation: next,
      // Only where there is nothing at all are files written in place, whatever links they have.
      empty: false,
    });
  });

  it('while a transfer goes on there is no other writer, no complete and no new run', async () => {
    const from = await bigFile('busy', 32);
    const run = await wire.prepare();
    const going = wire.startPush(run, from, '--bwlimit=2m');
    const ended = once(going, 'exit');
    await until('rsync receives', async () => (await jailed()).length > 0);
    expect((await wire.complete(run)).exitCode).toBe(11);
    await expect(wire.prepare()).rejects.toThrow('another run');
    expectRefused(await wire.push(run, from), 'another run');
    // Another client has nothing to do with it.
    await wireOf(machine, web2).backUp(`${tree}/`);
    const [code] = await ended;
    expect(code).toBe(0);
    expect((await wire.complete(run)).exitCode).toBe(0);
  });

  it('a transfer that was cut leaves no rsync behind, and no snapshot; the same run goes on', async () => {
    const from = await bigFile('cut', 48);
    const run = await wire.prepare();
    for (const victim of ['rsync', 'bwrap', 'byteback-receive', 'client']) {
      const going = wire.startPush(run, from, '--bwlimit=4m', '--partial');
      const ended = once(going, 'exit');
      await until('bytes arrive', async () => (await jailed()).length > 1);
      if (victim === 'client') going.kill('SIGKILL');
      else if (victim === 'byteback-receive')
        await must(['pkill', '-KILL', '-u', 'byteback', '-f', '^byteback-receive ']);
      else await must(['pkill', '-KILL', '-u', 'byteback', '-x', victim]);
      await ended;
      await until(`nothing is left after ${victim}`, async () => (await jailed()).length === 0);
      await until(`the lock is free after ${victim}`, async () => (await wire.complete(run)).exitCode !== 11);
      expect((await wire.complete(run)).exitCode).toBe(12);
    }
    expect(await wire.push(run, from, '--partial')).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await wire.complete(run)).exitCode).toBe(0);
  });

  it('a peer that stops is ended by the server, and the run says why', async () => {
    const from = await bigFile('stopped', 48);
    const run = await wire.prepare();
    const going = wire.startPush(run, from, '--bwlimit=2m', '--timeout=3600');
    await until('bytes arrive', async () => (await jailed()).length > 1);
    going.kill('SIGSTOP');
    try {
      await until('the server ended it', async () => (await jailed()).length === 0);
      await until('it is recorded', async () => (await runRecord()).transfers.length === 1);
      expect(await wire.reply('outcome', { run })).toMatchObject({
        failure: { exit: 'unreachable', what: 'the server ended the session' },
      });
    } finally {
      going.kill('SIGKILL');
    }
  });

  it('one that is slow and moves is not ended', async () => {
    const from = await bigFile('slow', 16);
    const run = await wire.prepare();
    expect(await wire.push(run, from, '--bwlimit=1500')).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await wire.complete(run)).exitCode).toBe(0);
  });

  it('refuses a snapshot with a nested subvolume in it', async () => {
    const run = await wire.prepare();
    await wire.push(run, `${tree}/`);
    await must(['btrfs', 'subvolume', 'create', join(fs(), 'nested')]);
    const { exitCode, stdout } = await wire.complete(run);
    expect(exitCode).toBe(13);
    expect(stdout).toContain('nested');
    await must(['btrfs', 'subvolume', 'delete', join(fs(), 'nested')]);
    expect((await wire.complete(run)).exitCode).toBe(0);
  });

  it('snapshots are later than each other though they come within a second', async () => {
    const names = [await wire.backUp(`${tree}/`), await wire.backUp(`${tree}/`), await wire.backUp(`${tree}/`)];
    expect(new Set(names).size).toBe(3);
    expect(names.toSorted()).toEqual(names);
  });
});

describe('sessions', () => {
  it('are limited for each client, and cost another nothing', async () => {
    let refused = 0;
    const waiting: ChildProcess[] = [];
    try {
      // Each asks for something and says nothing more: prepare waits for its request. One after the other, because sshd
      // drops some of many that log in at once.
      for (let i = 0; i < 15; i += 1) {
        const [program = '', ...args] = [...wire.sshArgv, 'byteback@127.0.0.1', 'prepare'];
        const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] });
        child.stderr.on('data', (chunk: Buffer) => {
          if (chunk.includes('too many sessions')) refused += 1;
        });
        waiting.push(child);
        await wait(300);
      }
      await until('three are refused', async () => refused === 3);
      expect(await wireOf(machine, web2).reply('ping')).toMatchObject({ ok: true });
    } finally {
      for (const child of waiting) child.kill('SIGKILL');
    }
    await until('the client is served again', async () => (await wire.ask('ping')).exitCode === 0);
  });
});

describe('files with several names', () => {
  it('are made single where the client asks, with all that belongs to them, and no content is copied', async () => {
    const linked = join(machine.disk, 'linked');
    await mkdir(join(linked, 'sub'), { recursive: true });
    const name = Buffer.concat([Buffer.from(`${linked}/sub/b`), Buffer.from([0xff, 0x0a])]);
    await writeFile(join(linked, 'a'), randomBytes(2_000_000));
    await must(['setfattr', '-n', 'user.note', '-v', 'kept', join(linked, 'a')]);
    await must(['touch', '-d', '2001-02-03T04:05:06.123456789Z', join(linked, 'a')]);
    const { link } = await import('node:fs/promises');
    await link(join(linked, 'a'), name);
    await writeFile(join(linked, 'single'), 'x');
    const run = await wire.prepare();
    expect(await wire.push(run, `${linked}/`)).toMatchObject({ exitCode: 0, stderr: '' });
    const inodes = async () =>
      (await must(['find', fs(), '-type', 'f', '-printf', '%i %n %T@\n'])).stdout.trim().split('\n').sort();
    const before = await inodes();
    expect(before.filter((line) => line.includes(' 2 '))).toHaveLength(2);
    const list = Buffer.concat([
      name.subarray(linked.length + 1),
      Buffer.from('\0missing\0single\0../../../web2/current/fs/file\0/etc/passwd\0'),
    ]);
    expect(await wire.ask(`separate ${run}`, list)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('"ok":true'),
    });
    const after = await inodes();
    expect(after.filter((line) => line.includes(' 2 '))).toHaveLength(0);
    expect(new Set(after.map((line) => line.split(' ')[2]))).toEqual(new Set(before.map((line) => line.split(' ')[2])));
    expect((await readdir(fs())).sort()).toEqual(['a', 'single', 'sub']);
    expect((await must(['getfattr', '-dRm', '-', fs()])).stdout.match(/user\.note="kept"/g)).toHaveLength(2);
    expect((await wire.ask(`separate ${'e'.repeat(32)}`, '')).exitCode).toBe(76);
  });
});

describe('a full store', () => {
  it('ends the transfer above the reserve, costs nobody else a snapshot, and the run says why', async () => {
    const { stdout } = await must(['df', '--output=avail', '-B1', '/byteback']);
    const available = Number(stdout.trim().split('\n').at(-1));
    await must(['fallocate', '-l', String(available - 250_000_000), '/byteback/filler']);
    try {
      const from = await bigFile('flood', 320);
      const before = await machine.snapshots('web1');
      const run = await wire.prepare();
      const { exitCode, stderr } = await wire.push(run, from, '--partial');
      expect(stderr).toContain('the store is full');
      // Ended in the middle, rsync tells of a refusal, a protocol error or a broken pipe, whichever it sees first.
      expect([76, 12, 10]).toContain(exitCode);
      expect(await wire.reply('outcome', { run })).toMatchObject({ failure: { exit: 'storeFull' } });
      expect((await wire.complete(run)).exitCode).toBe(13);
      expect(await machine.snapshots('web1')).toEqual(before);
      await rm(join(fs(), 'big'), { force: true });
      for (const name of await readdir(fs())) if (name.startsWith('.big')) await rm(join(fs(), name));
      await wireOf(machine, web2).backUp(`${tree}/`);
      const request = { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 400_000_000, files: 1 };
      expect(await wire.reply('prepare', request)).toMatchObject({ ok: false, exit: 'storeFull' });
    } finally {
      await rm('/byteback/filler');
    }
  });
});

describe('snapshots per day', () => {
  it('are limited by the clock of the server', async () => {
    await must(['sed', '-i', '1i snapshots_per_day = 1', '/etc/byteback/server.toml']);
    await must(['sed', '-i', '2,$ { /^snapshots_per_day/d }', '/etc/byteback/server.toml']);
    const request = { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 };
    expect(await wire.reply('prepare', request)).toMatchObject({
      ok: false,
      exit: 'tooSoon',
      why: expect.stringContaining('minutes'),
    });
  });
});
