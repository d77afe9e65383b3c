import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { serverIsQuiet } from '../helpers/server-state.ts';

/**
 * Each process of either side is killed at each step of a run. No end is called a bug, no run that has no snapshot says "ok", none
 * that has one says that it has none, and the next run comes through. BYTEBACK_KILLS is how many cases are drawn; all of them: 99.
 */
const drawn = Number(process.env['BYTEBACK_KILLS'] ?? '1');
const seed = Number(process.env['BYTEBACK_SEED'] ?? Date.now() % 100_000);

let machine: InstalledMachine;
let web1: TestClient;
let tree: string;
const hooks = '/etc/byteback/hooks';
const marker = '/var/tmp/byteback-killed-marker';

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly user: string;
  readonly name: string;
  readonly line: string;
}

async function processes(): Promise<Process[]> {
  const { stdout } = await must(['ps', '-eo', 'pid=,ppid=,user:20=,comm=,args=']);
  return stdout.split('\n').flatMap((row) => {
    const [, pid, parent, user = '', name = '', line = ''] = /^ *(\d+) +(\d+) +(\S+) +(\S+) +(.*)$/.exec(row) ?? [];
    return pid === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), user, name, line }];
  });
}

function below(all: readonly Process[], pid: number): Process[] {
  const children = all.filter(({ parent }) => parent === pid);
  return children.flatMap((child) => [child, ...below(all, child.pid)]);
}

/** Who is who; `mine` is below the client's process, `theirs` below sshd. */
const victims: Readonly<Record<string, { side: 'mine' | 'theirs'; is: (process: Process) => boolean }>> = {
  'the client’s rsync': { side: 'mine', is: ({ name }) => name === 'rsync' },
  'the client’s connection': {
    side: 'mine',
    is: ({ name, line }) => name === 'ssh' && line.includes('ControlMaster=yes'),
  },
  'the client’s session': { side: 'mine', is: ({ name, line }) => name === 'ssh' && line.includes('ControlMaster=no') },
  'sshd’s session': { side: 'theirs', is: ({ name, user }) => name.startsWith('sshd') && user === 'byteback' },
  receive: {
    side: 'theirs',
    is: ({ line, user }) => user === 'byteback' && /receive|byteback:/.test(line) && !/^sshd/.test(line),
  },
  bwrap: { side: 'theirs', is: ({ name }) => name === 'bwrap' },
  'the server’s rsync': { side: 'theirs', is: ({ name }) => name === 'rsync' },
  sudo: { side: 'theirs', is: ({ name }) => name === 'sudo' },
  'root’s helper': { side: 'theirs', is: ({ line, user }) => user === 'root' && /snapshot\.mjs/.test(line) },
};

const cases = [
  ...[
    'the client’s connection',
    'the client’s session',
    'sshd’s session',
    'receive',
    'sudo',
    'root’s helper',
    'byteback-backup',
  ].flatMap((who) => [['prepare', who] as const, ['complete', who] as const]),
  ...[
    'the client’s rsync',
    'the client’s connection',
    'the client’s session',
    'sshd’s session',
    'receive',
    'bwrap',
    'the server’s rsync',
    'byteback-backup',
  ].map((who) => ['transfer', who] as const),
].flatMap(([step, who]) => [[step, who, 'SIGKILL'] as const, [step, who, 'SIGTERM'] as const]);

/** Always: what failed before. The others by lot. */
const always = new Set(['complete root’s helper SIGKILL', 'transfer the server’s rsync SIGKILL']);

function chosen(): typeof cases {
  let state = seed;
  const next = () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state;
  };
  const rest = cases.filter((one) => !always.has(one.join(' '))).map((one) => ({ one, at: next() }));
  const lot = rest
    .toSorted((a, b) => a.at - b.at)
    .slice(0, drawn)
    .map(({ one }) => one);
  return [...cases.filter((one) => always.has(one.join(' '))), ...lot];
}

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  web1 = await machine.client('web1', '--source', tree);
  for (const step of ['prepare', 'complete']) {
    await mkdir(`${hooks}/${step}.d`, { recursive: true });
    const hook = `${hooks}/${step}.d/hold`;
    // Holds the first run only, and only at the step that is asked for.
    await writeFile(
      hook,
      `#!/bin/sh\n[ "$(cat ${marker} 2>/dev/null)" = ${step} ] || exit 0\necho held >${marker}\nsleep 3\n`,
    );
    await chmod(hook, 0o755);
  }
}, 120_000);

afterAll(() => machine?.dispose());

/** What a client left behind that was killed: root's helper and hooks go on to their end, and hold the lock. */
async function serverIsAtRest(): Promise<void> {
  await serverIsQuiet();
  await must([
    'sh',
    '-c',
    'for i in $(seq 200); do pgrep -f snapshot[.]mjs >/dev/null || exit 0; sleep 0.1; done; exit 1',
  ]);
}

async function newContent(): Promise<Buffer> {
  const content = randomBytes(500_000);
  await writeFile(join(tree, 'file'), content);
  return content;
}

async function contentOf(snapshot: string | undefined): Promise<Buffer> {
  return readFile(`${web1.place}/snapshots/${snapshot}/fs${tree}/file`);
}

/** The victim, once the run has come to the step. */
async function find(step: string, who: string, client: number): Promise<Process | undefined> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const isThere = step === 'transfer' || (await readFile(marker, 'utf8').catch(() => '')) === 'held\n';
    if (isThere) {
      const all = await processes();
      if (who === 'byteback-backup') {
        const transfers = below(all, machine.sshd.pid ?? 0).some(({ name }) => name === 'bwrap');
        if (step !== 'transfer' || transfers) return all.find(({ pid }) => pid === client);
      } else {
        const { side, is } = victims[who] ?? { side: 'mine', is: () => false };
        const found = below(all, side === 'mine' ? client : (machine.sshd.pid ?? 0)).filter(is);
        const transfers = below(all, machine.sshd.pid ?? 0).some(({ name }) => name === 'bwrap');
        if (found.length > 0 && (step !== 'transfer' || transfers)) return found.at(-1);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return undefined;
}

describe(`seed ${seed}`, () => {
  it.each(chosen())('at %s, %s gets %s', async (step, who, signal) => {
    const before = await machine.snapshots('web1');
    const content = await newContent();
    await writeFile(marker, step === 'transfer' ? 'none' : step);
    const run = spawn(
      'byteback-backup',
      ['--bwlimit', step === 'transfer' ? '250k' : '0', '--retry-number', '3', '--retry-delay', '1s'],
      {
        env: { ...process.env, ...web1.env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let said = '';
    for (const stream of [run.stdout, run.stderr])
      stream.on('data', (chunk) => {
        said += chunk;
      });
    const victim = await find(step, who, run.pid ?? 0);
    expect(victim, `no ${who} at ${step}`).toBeDefined();
    if (victim !== undefined) process.kill(victim.pid, signal);
    const [code] = await once(run, 'close');
    await rm(marker, { force: true });
    await serverIsAtRest();
    const after = await machine.snapshots('web1');
    expect(said).not.toMatch(/\bbug\b/);
    if (who === 'byteback-backup') expect([null, 130]).toContain(code);
    else expect(code, said).toBe(0);
    if (code === 0) {
      expect(after.length).toBe(before.length + 1);
      expect((await contentOf(after.at(-1))).equals(content)).toBe(true);
    } else if (after.length > before.length) {
      expect(said).not.toContain('no snapshot was taken');
    }
    // The next one comes through, whatever was left.
    const last = await newContent();
    expect(await web1.run('byteback-backup', '--retry-number', '3', '--retry-delay', '1s')).toExitWith(0);
    expect((await contentOf((await machine.snapshots('web1')).at(-1))).equals(last)).toBe(true);
  });
});

it('what was being written when the power went is swept at the next run, and is in no snapshot', async () => {
  const name = '.0123456789ab.tmp';
  const places = [
    web1.stateDir,
    web1.configDir,
    `${web1.place}/current`,
    '/byteback/.byteback',
    '/byteback/.byteback/clients',
    '/etc/byteback',
  ];
  for (const place of places) await writeFile(join(place, name), 'half');
  await newContent();
  expect(await web1.run('byteback-backup')).toExitWith(0);
  const [newest] = (await machine.snapshots('web1')).slice(-1);
  expect(await command(['byteback-prune'])).toExitWith(0);
  for (const place of [...places, `${web1.place}/snapshots/${newest}`])
    expect(await readdir(place), place).not.toContain(name);
});

describe('without another attempt', () => {
  it('a run whose helper was killed after the snapshot has it, and says so', async () => {
    const before = await machine.snapshots('web1');
    await newContent();
    await writeFile(marker, 'complete');
    const run = spawn('byteback-backup', ['--retry-number', '0', '--json'], { env: { ...process.env, ...web1.env } });
    let said = '';
    run.stdout.on('data', (chunk) => {
      said += chunk;
    });
    const victim = await find('complete', 'root’s helper', run.pid ?? 0);
    if (victim !== undefined) process.kill(victim.pid, 'SIGKILL');
    const [code] = await once(run, 'close');
    await rm(marker, { force: true });
    const after = await machine.snapshots('web1');
    expect({ code, said: JSON.parse(said).snapshot }).toEqual({ code: 0, said: after.at(-1) });
    expect(after.length).toBe(before.length + 1);
  });
});

describe('a disk that fails', () => {
  it.each([
    [
      'the store is read-only',
      'mount -o remount,ro /byteback',
      'mount -o remount,rw /byteback',
      17,
      /can only be read[\s\S]*findmnt/,
    ],
    [
      'the store is not mounted',
      'umount -l /byteback',
      'mount /byteback',
      14,
      /not mounted|no btrfs|not on a btrfs[\s\S]*mount/,
    ],
  ])('%s', async (_, spoil, mend, exitCode, words) => {
    await newContent();
    await must(['sh', '-c', spoil]);
    const outcome = await web1.run('byteback-backup', '--retry-number', '0');
    await must(['sh', '-c', mend]);
    expect(outcome).toExitWith(exitCode);
    expect(outcome.stderr).toMatch(words);
    expect(outcome.stderr).not.toMatch(/\bbug\b/);
    expect(await web1.run('byteback-backup')).toExitWith(0);
  });

  it.each([
    ['read-only', 'mount -o remount,ro /byteback', 'mount -o remount,rw /byteback'],
    ['unmounted', 'umount -l /byteback', 'mount /byteback'],
  ])('the store is %s in the middle of a transfer', async (_, spoil, mend) => {
    await newContent();
    const run = spawn('byteback-backup', ['--bwlimit', '200k', '--retry-number', '0'], {
      env: { ...process.env, ...web1.env },
    });
    let said = '';
    run.stderr.on('data', (chunk) => {
      said += chunk;
    });
    await find('transfer', 'bwrap', run.pid ?? 0);
    // What is written keeps it from being made read-only for a moment.
    await must([
      'sh',
      '-c',
      `for i in $(seq 100); do ${spoil} 2>/dev/null && exit 0; sleep 0.05; done; umount -l /byteback`,
    ]);
    const [code] = await once(run, 'close');
    await command(['sh', '-c', mend]);
    await command(['mount', '/byteback']);
    expect(said).not.toMatch(/\bbug\b/);
    expect(code, said).not.toBe(0);
    expect(said).toMatch(/fix: /);
    await serverIsAtRest();
    const last = await newContent();
    expect(await web1.run('byteback-backup', '--retry-number', '3', '--retry-delay', '1s')).toExitWith(0);
    expect((await contentOf((await machine.snapshots('web1')).at(-1))).equals(last)).toBe(true);
  });

  it.each([
    ['gone', (state: string) => `rm -rf ${state}`],
    ['full', (state: string) => `dd if=/dev/zero of=${state}/filler bs=64k 2>/dev/null; true`],
  ])("the client's state directory is %s in the middle", async (how, spoil) => {
    const state = join(machine.scratch, `state-${how}`);
    await must(['cp', '-a', web1.stateDir, state]);
    if (how === 'full')
      await must(['sh', '-ec', `mount -t tmpfs -o size=600k none ${state}; cp -a ${web1.stateDir}/. ${state}/`]);
    await newContent();
    const toml = join(web1.configDir, 'client.toml');
    const before = await readFile(toml, 'utf8');
    const hook = join(machine.scratch, `spoil-${how}`);
    await writeFile(hook, `#!/bin/sh\n${spoil(state)}\n`);
    await chmod(hook, 0o755);
    await writeFile(toml, `before = "${hook}"\n${before}`);
    const outcome = await web1.runWith(
      { env: { BYTEBACK_STATE_DIR: state } },
      'byteback-backup',
      '--retry-number',
      '0',
    );
    await writeFile(toml, before);
    if (how === 'full') await must(['umount', state]);
    expect(outcome.stderr).not.toMatch(/\bbug\b/);
    expect(outcome).toExitWith(2);
    expect(outcome.stderr).toMatch(/fix: .*(?:findmnt|df -h)/);
    expect(await web1.run('byteback-backup')).toExitWith(0);
  });
});
