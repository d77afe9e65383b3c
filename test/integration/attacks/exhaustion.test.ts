import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { filesystemUsage } from '../../../src/system/btrfs.ts';
import { command, must } from '../../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../../helpers/installed-machine.ts';
import { type Wire, wireOf } from '../../helpers/wire.ts';

// A client that asks the server's rsync for more than it may take: memory, processor time, a life after the connection.

let machine: InstalledMachine;
let wire: Wire;
let snapshot: string;
let alice: Wire;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  wire = wireOf(machine, await machine.client('mallory.example'));
  alice = wireOf(machine, await machine.client('alice.example'));
  const tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'mine\n');
  snapshot = await wire.backUp(`${tree}/`);
}, 300_000);

afterAll(async () => {
  await machine?.dispose();
});

const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
const multiplexed = (bytes: Buffer) => Buffer.concat([int32((7 << 24) | bytes.length), bytes]);
const rule = (text: string | Buffer) => Buffer.concat([int32(Buffer.byteLength(text)), Buffer.from(text)]);

/** Starts a pull as a peer that speaks protocol 30 and stops after its greeting. */
function startPull(): ChildProcess {
  const text = `restore ${snapshot} --server --sender -lHogDtpAXre. --numeric-ids --files-from=- --from0 . .`;
  const [program = '', ...rest] = [...wire.sshArgv, 'byteback@127.0.0.1', text];
  const child = spawn(program, rest, { stdio: ['pipe', 'ignore', 'ignore'] });
  child.stdin?.on('error', () => undefined);
  child.stdin?.write(int32(30));
  return child;
}

/** The processes of rsync on the server, with the memory that they hold, in bytes. */
async function receivers(): Promise<{ pid: string; residentBytes: number; argv: string }[]> {
  const { stdout } = await command(['pgrep', '-u', 'byteback', '-x', 'rsync']);
  return Promise.all(
    stdout
      .split('\n')
      .filter((pid) => pid !== '')
      .map(async (pid) => {
        const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
        const argv = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
        return { pid, residentBytes: Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1] ?? 0) * 1024, argv };
      }),
  );
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let at = 0; at < 300; at += 1) {
    if (await holds()) return;
    await wait(100);
  }
  throw new Error(`it never came to be: ${what}`);
}

it('EX01 a rule that reads what never ends opens nothing, and takes no memory', async () => {
  const child = startPull();
  try {
    child.stdin?.write(multiplexed(rule('.- /dev/urandom')));
    child.stdin?.write(multiplexed(rule('.- /dev/zero')));
    // It says that there is no such file, and ends.
    await until('it has ended', async () => (await receivers()).length === 0);
  } finally {
    child.kill('SIGKILL');
  }
});

it('EX02 rules without end end at a limit of memory', { timeout: 120_000 }, async () => {
  const child = startPull();
  let most = 0;
  let ended = false;
  child.once('exit', () => {
    ended = true;
  });
  try {
    const rules = multiplexed(Buffer.concat(Array.from({ length: 15 }, () => rule(`- ${'x'.repeat(4000)}`))));
    const limit = 2_500_000_000;
    let sent = 0;
    for (let next = 0; !ended && sent < limit; sent += rules.length) {
      if (child.stdin?.write(rules) === false) {
        await Promise.race([new Promise((resolve) => child.stdin?.once('drain', resolve)), wait(20_000)]);
      }
      if (sent < next) continue;
      next += 50_000_000;
      for (const { residentBytes } of await receivers()) most = Math.max(most, residentBytes);
    }
    expect(sent).toBeLessThan(limit);
    const { stdout } = await command(['sed', '-n', 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p', '/proc/meminfo']);
    expect(most).toBeLessThan(Math.max(1024 ** 3, (Number(stdout) * 1024) / 16) + 1);
    await until('it has ended', async () => (await receivers()).length === 0);
  } finally {
    child.kill('SIGKILL');
  }
});

it('EX03 an rsync that is busy, or asleep, ends when the connection is gone', async () => {
  const child = startPull();
  await until('it runs', async () => (await receivers()).some(({ argv }) => argv.includes('--server')));
  // Whatever keeps it from noticing: a stopped process notices nothing.
  for (const { pid } of await receivers()) process.kill(Number(pid), 'SIGSTOP');
  child.kill('SIGKILL');
  await until('the server ended it', async () => (await receivers()).length === 0);
});

/** Free for an ordinary writer, in bytes, with all that is in memory written out. */
async function freeBytes(): Promise<number> {
  await must(['sync', '--file-system', '/byteback']);
  const { bavail, bsize } = await statfs('/byteback');
  return bavail * bsize;
}

async function emptied(): Promise<void> {
  const nothing = join(machine.disk, 'nothing');
  await mkdir(nothing, { recursive: true });
  const run = await wire.prepare();
  await wire.push(run, `${nothing}/`);
  await rm('/byteback/filler', { force: true });
}

it('EX04 a fast push ends above the reserve', { timeout: 120_000 }, async () => {
  const flood = join(machine.disk, 'flood');
  await mkdir(flood);
  for (let at = 0; at < 4; at += 1) await writeFile(join(flood, `big-${at}`), randomBytes(64 * 1024 * 1024));
  const reserve = 1024 ** 3 / 20;
  await must(['fallocate', '-l', String(Math.floor((await freeBytes()) - reserve - 150_000_000)), '/byteback/filler']);
  const run = await wire.prepare();
  const push = await wire.push(run, `${flood}/`, '--inplace', '--whole-file');
  expect(push.stderr).toContain('the store is full');
  // What was written then: the run gives all of it back afterwards.
  const left = Number(/(\d+) bytes are left above the reserve/.exec(push.stderr)?.[1]);
  console.log(`a fast push ended with ${left} bytes left above the reserve of ${Math.round(reserve)}`);
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(80_000_000);
  expect(await freeBytes()).toBeGreaterThan(reserve);
  expect((await wire.complete(run)).exitCode).toBe(13);
  await rm(flood, { recursive: true });
  await emptied();
});

it('EX05 small files end the session before metadata are full, and others are served', {
  timeout: 240_000,
}, async () => {
  // All is given to data: metadata cannot grow.
  await must(['fallocate', '-l', String((await freeBytes()) - 1_000_000), '/byteback/filler']);
  await must(['truncate', '-s', String(Math.floor(0.6 * 1024 ** 3)), '/byteback/filler']);
  const small = join(machine.disk, 'small');
  await mkdir(small);
  const content = randomBytes(1900);
  for (let at = 0; at < 45_000; at += 1) {
    if (at % 1000 === 0) await mkdir(join(small, String(at / 1000)));
    content.writeUInt32LE(at);
    await writeFile(join(small, String(Math.floor(at / 1000)), `f${at}`), content);
  }
  const run = await wire.prepare();
  const push = await wire.push(run, `${small}/`);
  expect(push.stderr).toContain('of its metadata');
  const { metadataSizeBytes, metadataUsedBytes } = await filesystemUsage('/byteback');
  console.log(`small files ended with ${metadataUsedBytes} of ${metadataSizeBytes} bytes of metadata used`);
  expect((await wire.complete(run)).exitCode).toBe(13);
  expect(
    await alice.reply('prepare', { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 }),
  ).toMatchObject({ ok: true });
  await alice.backUp(`${join(machine.disk, 'tree')}/`);
  expect((await machine.snapshots('alice.example')).length).toBeGreaterThan(0);
  await emptied();
});

it('SP03 opens no more than thirty runs an hour in which nothing is sent', { timeout: 240_000 }, async () => {
  const request = { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 };
  let opened = 0;
  let refusal: Record<string, unknown> = {};
  while (opened <= 40) {
    refusal = await wire.reply('prepare', request);
    if (refusal.ok !== true) break;
    opened += 1;
  }
  // Those of the tests before count, too.
  expect(opened).toBeGreaterThan(15);
  expect(opened).toBeLessThanOrEqual(31);
  expect(refusal).toMatchObject({ ok: false, exit: 'tooSoon', why: expect.stringContaining('the next is allowed at') });
  expect(await alice.reply('prepare', request)).toMatchObject({ ok: true });
});
