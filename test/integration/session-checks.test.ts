import { appendFile, chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Dialogue, openDialogue } from '../../src/system/dialogue.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { figures, type Wire, wireOf, wireWithKey } from '../helpers/wire.ts';

// What the server asks at each command of each session, over a real sshd: whose key, from where, when, what. The clock is
// the real one; the windows are laid around it. The whole grid, second by second, is asked of the pure decision in
// src/server/authorise.test.ts.

const toml = '/etc/byteback/server.toml';
const run = 'a'.repeat(32);
let machine: InstalledMachine;
let web1: TestClient;
let wire: Wire;
let other: Wire;
let unknown: Wire;
let tree: string;
let settings: string;
let othersRun: string;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  web1 = await machine.client('web1');
  wire = wireOf(machine, web1);
  other = wireOf(machine, await machine.client('db1'));
  const key = join(machine.scratch, 'unknown');
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
  unknown = wireWithKey(machine, key);
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'file'), 'content\n');
  await wire.backUp(`${tree}/`);
  othersRun = await other.prepare();
  settings = await readFile(toml, 'utf8');
  // Where sshd of this machine logs to, as the admin's is read.
  await rm('/var/log/auth.log', { force: true });
  await rm('/var/log/journal', { recursive: true, force: true });
  await symlink(join(machine.scratch, 'sshd.log'), '/var/log/auth.log');
});

afterAll(async () => {
  await rm('/var/log/auth.log', { force: true });
  await machine?.dispose();
});

afterEach(async () => {
  await writeFile(toml, settings);
});

interface Event {
  readonly kind: string;
  readonly client?: string;
  readonly check?: string;
  readonly address?: string;
  readonly count?: number;
  readonly what: string;
  readonly why?: string;
}

/** Forgets what there was, so that what comes next is told line by line. */
async function forget(): Promise<void> {
  await must(['byteback', 'events', '--json']);
  for (const name of ['events.jsonl', 'events-counters.json']) await rm(`/byteback/.byteback/${name}`, { force: true });
}

async function events(): Promise<Event[]> {
  const { stdout } = await must(['byteback', 'events', '--json']);
  return (JSON.parse(stdout) as { events: Event[] }).events;
}

const pad = (value: number) => String(value).padStart(2, '0');
/** A window of four minutes around a moment so many hours from now. */
function windowIn(hours: number): string {
  const then = new Date(Date.now() + hours * 3_600_000);
  return `${pad(then.getUTCHours())}:${pad(then.getUTCMinutes())}±2m UTC`;
}

const policy = (lines: string) => writeFile(toml, `${settings}\n[client.web1]\n${lines}\n`);
/** What is on the server's disk of both clients: a refusal changes none of it. */
const state = async () =>
  (await must(['find', '/byteback/clients', '-printf', '%p %T@ %C@ %s\\n'])).stdout.split('\n').toSorted().join('\n');

const wrongAddress = ['from = ["127.0.0.2"]', 'from'] as const;
const wrongTime = [`window = ["${windowIn(3)}", "${windowIn(-3)}"]`, 'window'] as const;
const commands = [
  ['prepare', { protocol: 1, version: 'test', machineId: '1'.repeat(64), expectedBytes: 0, files: 0 }],
  [`transfer ${run} --server -lHogDtpAXre.iLsfxCIvu --delete-during -@-1 --numeric-ids . .`, undefined],
  ['complete', { run, status: 'ok', unread: [], figures: {} }],
  ['snapshots', undefined],
  ['ping', undefined],
  ['prepare; id', undefined],
  ['rm -rf /', undefined],
  ['', undefined],
] as const;

describe('a session that may not', () => {
  it.each([wrongAddress, wrongTime])('with %s nothing is done, and each command is one event', async (line, check) => {
    await policy(line);
    await forget();
    const before = await state();
    for (const [text, request] of commands) {
      const { exitCode, stdout, stderr } = await wire.ask(text, request);
      expect([12, 76]).toContain(exitCode);
      expect(stderr).toBe('byteback: refused\n');
      if (exitCode === 12) {
        const { fix, ...reply } = JSON.parse(stdout) as { fix: string };
        expect(reply).toEqual({ ok: false, exit: 'refused', what: 'refused' });
        expect(fix).not.toMatch(/from|window|allow/);
      } else expect(stdout).toBe('');
    }
    expect(await state()).toBe(before);
    const told = await events();
    expect(new Set(told.map((event) => `${event.kind} ${event.client} ${event.check} ${event.address}`))).toEqual(
      new Set([`refusal web1 ${check} 127.0.0.1`]),
    );
    expect(told.reduce((sum, { count = 1 }) => sum + count, 0)).toBe(commands.length);
  });

  it('hears nothing of which rule it was', async () => {
    await policy('allow = ["restore"]');
    await forget();
    expect(await wire.reply('prepare', commands[0][1])).toMatchObject({ what: 'refused' });
    expect(await events()).toMatchObject([{ check: 'allow', what: 'prepare is not allowed for web1' }]);
    expect((await wire.ask('snapshots')).exitCode).toBe(0);
  });

  it.each(['prepare; id', 'rm -rf /', '', 'transfer x', '$(id)'])('%j is refused, and one event', async (text) => {
    await forget();
    const before = await state();
    expect((await wire.ask(text)).stderr).toBe('byteback: refused\n');
    expect(await state()).toBe(before);
    expect(await events()).toMatchObject([{ kind: 'refusal', client: 'web1', check: 'command' }]);
  });

  it("cannot write into another's run", async () => {
    await forget();
    const before = await state();
    const { stderr, exitCode } = await wire.push(othersRun, `${tree}/`);
    expect([76, 12]).toContain(exitCode);
    expect(stderr).toContain('a newer run has taken its place');
    expect((await wire.complete(othersRun)).exitCode).toBe(12);
    expect(await state()).toBe(before);
    expect(await events()).toMatchObject([
      { client: 'web1', check: 'run' },
      { client: 'web1', check: 'run' },
    ]);
  });

  it('with a key that nobody knows does not get past sshd, and the log tells', async () => {
    await forget();
    expect(await unknown.ask('ping')).toMatchObject({ exitCode: 255 });
    expect(await events()).toMatchObject([{ kind: 'refusal', check: 'sshd', address: '127.0.0.1' }]);
    expect(await events()).toHaveLength(1);
  });
});

describe('a session that may', () => {
  it.each([
    'from = ["127.0.0.1"]',
    'from = ["192.0.2.0/24", "127.0.0.0/30", "2001:db8::/32"]',
    `window = ["${windowIn(3)}", "${windowIn(0)}"]`,
    `window = "${new Date(Date.now() - 3_600_000).getUTCHours().toString().padStart(2, '0')}:00-${new Date(Date.now() + 2 * 3_600_000).getUTCHours().toString().padStart(2, '0')}:59 UTC"`,
    'allow = ["prepare", "transfer", "complete"]',
  ])('with %s sends and completes, without an event', async (line) => {
    await policy(line);
    await forget();
    await wire.backUp(`${tree}/`);
    expect(await events()).toEqual([]);
  });

  it('comes from the other address of its list', async () => {
    await policy('from = ["127.0.0.2"]');
    const [program = '', ...ssh] = wire.sshArgv;
    expect((await command([program, '-b', '127.0.0.2', ...ssh, 'byteback@127.0.0.1', 'ping'])).exitCode).toBe(0);
    expect((await command([program, '-b', '127.0.0.1', ...ssh, 'byteback@127.0.0.1', 'ping'])).exitCode).toBe(12);
  });
});

describe('a run that is completed in the session that opened it', () => {
  const open = () =>
    openDialogue([wire.sshArgv[0] ?? '', ...wire.sshArgv.slice(1), 'byteback@127.0.0.1', 'prepare'], {
      idleMs: 60_000,
      maxLineBytes: 1024 * 1024,
    });
  const says = async (dialogue: Dialogue, request: unknown) => {
    const line = await dialogue.ask(JSON.stringify(request), { timeoutMs: 60_000 });
    return JSON.parse(String(line)) as Record<string, string>;
  };
  const opened = async () => {
    const dialogue = open();
    const { run: id = '' } = await says(dialogue, commands[0][1]);
    expect((await wire.push(id, `${tree}/`)).exitCode).toBe(0);
    return { dialogue, request: { run: id, status: 'ok', unread: [], figures } };
  };

  it('has a snapshot, and the session ends', async () => {
    const { dialogue, request } = await opened();
    const { snapshot } = await says(dialogue, request);
    expect((await dialogue.ended).exitCode).toBe(0);
    expect(await readdir(join(web1.place, 'snapshots'))).toContain(snapshot);
    // Whoever did not hear it may ask again, in a session of its own.
    expect(JSON.parse((await wire.complete(request.run)).stdout)).toMatchObject({ snapshot });
  });

  it('can be left, and completed in another session', async () => {
    const { dialogue, request } = await opened();
    dialogue.end();
    expect((await dialogue.ended).exitCode).toBe(0);
    expect(JSON.parse((await wire.complete(request.run)).stdout)).toMatchObject({ ok: true, run: request.run });
  });

  it.each([
    ['is no longer allowed', 'allow = ["prepare", "transfer", "restore"]', 'allow'],
    ['is too late', wrongTime[0], 'window'],
  ])('is not, where it %s meanwhile', async (_, line, check) => {
    const { dialogue, request } = await opened();
    await policy(line);
    await forget();
    const before = await readdir(join(web1.place, 'snapshots'));
    expect(await says(dialogue, request)).toMatchObject({ ok: false, exit: 'refused', what: 'refused' });
    expect((await dialogue.ended).exitCode).toBe(12);
    expect(await readdir(join(web1.place, 'snapshots'))).toEqual(before);
    expect(await events()).toMatchObject([{ client: 'web1', check }]);
  });

  it('is not, where the key was revoked meanwhile', async () => {
    const { dialogue, request } = await opened();
    const keys = await readFile('/etc/byteback/authorized_keys', 'utf8');
    await writeFile('/etc/byteback/authorized_keys', keys.replace(/^.* client:web1$/m, ''));
    expect(await says(dialogue, request)).toMatchObject({ ok: false, exit: 'refused', what: 'refused' });
    await writeFile('/etc/byteback/authorized_keys', keys);
    expect(JSON.parse((await wire.complete(request.run)).stdout)).toMatchObject({ ok: true });
  });
});

describe('many refusals', () => {
  it('do not fill the disk, and are counted', async () => {
    await policy('from = ["192.0.2.1"]');
    await forget();
    for (let n = 0; n < 3; n += 1) await Promise.all(Array.from({ length: 6 }, () => wire.ask('ping')));
    const lines = (await readFile('/byteback/.byteback/events.jsonl', 'utf8')).trim().split('\n');
    expect(lines.length).toBeLessThanOrEqual(5);
    expect((await events()).reduce((sum, { count = 1 }) => sum + count, 0)).toBe(18);
    const shown = await must(['byteback', 'events', '--client', 'web1', '--since', '1h']);
    expect(shown.stdout).toMatch(
      /refusal \(from\) {2}web1 {2}from 127\.0\.0\.1\n {4}this client may not come from here/,
    );
    expect((await must(['byteback', 'events', '--client', 'db1', '--since', '1h'])).stdout).not.toContain('web1');
  });
});

describe("the server's hooks", () => {
  const hooks = '/etc/byteback/hooks';
  const marks = '/var/tmp/byteback-marks';
  async function hook(path: string, text: string): Promise<void> {
    await mkdir(join(hooks, path, '..'), { recursive: true });
    await writeFile(join(hooks, path), `#!/bin/sh\n${text}\n`);
    await chmod(join(hooks, path), 0o755);
  }
  afterEach(async () => {
    await rm(hooks, { recursive: true, force: true });
    await rm(marks, { force: true });
  });

  it('run at prepare and complete, for all and for one, and are recorded', async () => {
    const mark = (text: string) => `echo "${text} $BYTEBACK_CLIENT $BYTEBACK_STATUS $BYTEBACK_SNAPSHOT" >> ${marks}`;
    await hook('prepare.d/10-all', mark('all'));
    await hook('prepare.d/web1/10-one', mark('one'));
    await hook('prepare.d/db1/10-other', mark('other'));
    await hook('complete.d/10-all', `${mark('done')}; test -d "$BYTEBACK_SNAPSHOT_DIR/fs" && echo seen`);
    const opened = await wire.prepare();
    await must(wire.pushArgv(opened, `${tree}/`));
    const reply = (await wire.complete(opened)).stdout;
    const { snapshot } = JSON.parse(reply) as { snapshot: string };
    const expected = ['all web1 starting ', 'one web1 starting ', `done web1 ok ${snapshot}`];
    expect((await readFile(marks, 'utf8')).trimEnd().split('\n')).toEqual(expected);
    // Asked again, the answer is the same, and no hook runs twice.
    expect((await wire.complete(opened)).stdout).toBe(reply);
    expect((await readFile(marks, 'utf8')).trimEnd().split('\n')).toHaveLength(3);
    const record = JSON.parse(await readFile(`/byteback/.byteback/runs/web1/${opened}.json`, 'utf8'));
    expect(record.hooks).toMatchObject([
      { step: 'prepare', exitCode: 0 },
      { step: 'prepare', exitCode: 0 },
      { step: 'complete', exitCode: 0, output: 'seen' },
    ]);
  });

  it('that fail at prepare refuse the run, and at complete lose nothing', async () => {
    await hook('prepare.d/no', 'echo the tape is full; exit 3');
    await forget();
    await expect(wire.prepare()).rejects.toThrow('"what":"refused"');
    expect(await events()).toMatchObject([
      { check: 'hook', why: expect.stringContaining('exited 3: the tape is full') },
    ]);
    await rm(hooks, { recursive: true });
    await hook('complete.d/no', 'exit 4');
    await forget();
    const snapshot = await wire.backUp(`${tree}/`);
    expect(await machine.snapshots('web1')).toContain(snapshot);
    expect(await events()).toMatchObject([{ kind: 'hook', client: 'web1', why: expect.stringContaining('exited 4') }]);
  });

  it('that never end are ended', async () => {
    await writeFile(toml, `hook_timeout = "1s"\n${settings}`);
    await hook('complete.d/slow', 'sleep 600 & sleep 600');
    const snapshot = await wire.backUp(`${tree}/`);
    expect(await machine.snapshots('web1')).toContain(snapshot);
    expect((await command(['pgrep', '-f', '^sleep 600'])).stdout).toBe('');
  });

  it('that others than root can change are not run', async () => {
    await hook('prepare.d/loose', `echo ran >> ${marks}`);
    await chmod(join(hooks, 'prepare.d/loose'), 0o757);
    await expect(wire.prepare()).rejects.toThrow('refused');
    expect(await readdir('/var/tmp')).not.toContain('byteback-marks');
    await appendFile(marks, '');
  });
});
