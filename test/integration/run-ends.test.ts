import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { type ArrivedMail, type MailServer, startMailServer } from '../helpers/mail-server.ts';
import { type Wire, wireOf } from '../helpers/wire.ts';

// The server hears how each run ended, and those who are to know get a mail.

let machine: InstalledMachine;
let web1: TestClient;
let wire: Wire;
let mailServer: MailServer;
let clientToml: string;
let tree: string;

const configure = (more = '') => writeFile(join(web1.configDir, 'client.toml'), `${clientToml}\n${more}\n`);

/** A program to be run as a hook. */
async function hookOf(name: string, script: string): Promise<string> {
  const path = join(machine.scratch, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return JSON.stringify(path);
}

/** The mails since the last time that this was asked, when all that waits has gone out. */
async function mailed(): Promise<ArrivedMail[]> {
  for (let i = 0; i < 200; i += 1) {
    await command(['byteback', 'report', '--send']);
    const { waiting } = JSON.parse((await must(['byteback', 'report', '--queue', '--json'])).stdout) as {
      waiting: unknown[];
    };
    const sender = await command(['pgrep', '-f', 'report --send']);
    if (waiting.length === 0 && sender.exitCode !== 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return mailServer.mails.splice(0);
}
const to = (mails: readonly ArrivedMail[], address: string) => mails.filter((mail) => mail.to.includes(address));
const events = async () => (await must(['byteback', 'events'])).stdout;
const status = async () => (await command(['byteback', 'status'])).stdout;
const succeed = async () => {
  await configure();
  expect(await web1.run('byteback-backup')).toExitWith(0);
};

beforeAll(async () => {
  mailServer = await startMailServer();
  machine = await installedMachine({ size: '1G' });
  web1 = await machine.client('web1');
  wire = wireOf(machine, web1);
  tree = join(machine.disk, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'a'), 'a');
  const toml = await readFile(join(web1.configDir, 'client.toml'), 'utf8');
  clientToml = `${toml.replace(/^source = .*$/m, '')}\nsource = [${JSON.stringify(tree)}]\nretry_number = 0\n`;
  await configure();
  const serverToml = await readFile('/etc/byteback/server.toml', 'utf8');
  await writeFile(
    '/etc/byteback/server.toml',
    `${serverToml}\n[mail]\nfrom = "byteback@x.example"\nadmin = "admin@x.example"\nsmtp = "smtp://127.0.0.1:${mailServer.port}"\n[client.web1]\nreport = "reports@x.example"\nerrors = "owner@x.example"\n`,
  );
}, 300_000);

afterAll(async () => {
  await machine?.dispose();
  await mailServer?.stop();
});

test('the very first run: a hook before it fails, and those who look after the client hear what it printed', async () => {
  await configure(`before = ${await hookOf('dump', 'echo the database is away\nexit 3')}`);
  expect((await web1.run('byteback-backup')).exitCode).toBe(16);
  const mails = await mailed();
  const [mail] = to(mails, 'owner@x.example');
  expect(mail?.source, mails.map(({ source }) => source).join()).toContain('the database is away');
  expect(mail?.subject).toContain('FAILED');
  expect(to(mails, 'reports@x.example')).toEqual([]);
  expect(await status()).toContain('a run of web1 failed');
  await succeed();
  expect(await status()).not.toContain('a run of web1 failed');
  const [report] = to(await mailed(), 'reports@x.example');
  expect(report?.subject).toContain(' ok');
});

test('a line that was dead: told with the next run, which says that it is over', async () => {
  await machine.stopSshd();
  expect((await web1.run('byteback-backup')).exitCode).toBe(10);
  await machine.startSshd();
  expect(to(await mailed(), 'owner@x.example')).toEqual([]);
  // A snapshot is dated by the second, and its client's words take a moment to arrive.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await succeed();
  const [mail] = to(await mailed(), 'owner@x.example');
  expect(mail?.source).toContain('cannot reach');
  expect(await status()).not.toContain('cannot reach');
  expect(await readFile(join(web1.stateDir, 'ends.json'), 'utf8')).not.toContain('cannot reach');
});

test('a refusal for want of room', async () => {
  const { stdout } = await must(['df', '--output=avail', '-B1', '/byteback']);
  const avail = Number(stdout.trim().split('\n')[1]);
  await must(['fallocate', '-l', String(avail - 20 * 1024 ** 2), '/byteback/filler']);
  await must(['sh', '-c', 'head -c 60M /dev/urandom > "$0"', join(tree, 'large')]);
  const run = await web1.run('byteback-backup');
  expect(run.exitCode, run.stderr).toBe(13);
  await rm('/byteback/filler');
  await rm(join(tree, 'large'));
  const [mail] = to(await mailed(), 'owner@x.example');
  expect(mail?.source).toContain('full');
  expect(await events()).toMatch(/a run of web1 failed: .*(full|room)/);
  await succeed();
});

test('a hook after the run that fails is not ok, and the report has what it printed', async () => {
  await mailed();
  await configure(`after = ${await hookOf('unlock', 'echo it stays locked\nexit 4')}`);
  expect((await web1.run('byteback-backup')).exitCode).toBe(3);
  expect(await events()).toContain('a hook of web1 failed after a run');
  const mails = await mailed();
  const [report] = to(mails, 'reports@x.example').filter(({ subject }) => subject.includes('web1 '));
  expect(report?.subject).toContain('HOOK FAILED');
  expect(report?.source).toContain('it stays locked');
  expect(mails.some(({ subject }) => / ok /.test(subject))).toBe(false);
  await succeed();
});

test('a hook after the run that goes well: one report, ok, with what it printed', async () => {
  await mailed();
  await configure(`after = ${await hookOf('after', 'echo all is unlocked')}`);
  expect(await web1.run('byteback-backup')).toExitWith(0);
  const mails = to(await mailed(), 'reports@x.example');
  expect(mails.map(({ subject }) => subject)).toEqual([expect.stringContaining(' ok')]);
  expect(mails[0]?.source).toContain('all is unlocked');
});

test('a state directory on a disk that is full', async () => {
  await succeed();
  await mailed();
  await must(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', '/mnt']);
  try {
    await must(['cp', '-a', `${web1.stateDir}/server.json`, `${web1.stateDir}/last-run.json`, '/mnt/']);
    await must(['mount', '--bind', '/mnt', web1.stateDir]);
    await command(['sh', '-c', 'head -c 1M /dev/zero > /mnt/full']);
    const run = await web1.run('byteback-backup');
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toMatch(/no space/i);
  } finally {
    await command(['umount', web1.stateDir]);
    await command(['umount', '/mnt']);
  }
  expect(await events()).toMatch(/this machine cannot write what a run needs.*no space/s);
  expect(await status()).toContain('a run of web1 failed');
  await succeed();
});

test('an interruption is no alert', async () => {
  await mailed();
  await configure(`before = ${await hookOf('slow', 'sleep 30')}`);
  const run = await web1.runWith({ timeoutMs: 20_000 }, 'timeout', '-s', 'INT', '2', 'byteback-backup');
  expect([124, 130]).toContain(run.exitCode);
  expect(to(await mailed(), 'owner@x.example')).toEqual([]);
  await succeed();
});

test("a client's own words stay one event of its own, and many make few mails", { timeout: 120_000 }, async () => {
  await mailed();
  const before = (await events()).split('\n').length;
  const end = {
    run: null,
    status: 'failed',
    exit: 1,
    phase: 'run',
    endedAt: new Date().toISOString(),
    what: `all is well\n2026-01-01 critical web2 is gone \u001b[31m ${'x'.repeat(3000)}`,
    hooks: [
      {
        step: 'before',
        name: '/a\nb',
        exitCode: 1,
        timedOut: false,
        durationMs: 1,
        output: `<script>\r\n\u001b[2J${'y'.repeat(16_000)}`,
      },
    ],
  };
  expect(await wire.reply('ended', end)).toMatchObject({ ok: true });
  // The same once more is the same.
  expect(await wire.reply('ended', end)).toMatchObject({ ok: true });
  const said = (await events()).split('\n').length;
  expect(said - before).toBeLessThanOrEqual(4);
  expect(await events()).not.toContain('\u001b[');
  for (let i = 0; i < 12; i += 1) {
    const endedAt = new Date(Date.now() + i).toISOString();
    expect(await wire.reply('ended', { ...end, endedAt, hooks: [] })).toMatchObject({ ok: true });
  }
  const mails = to(await mailed(), 'owner@x.example');
  expect(mails.length).toBeLessThanOrEqual(5);
  for (const { source } of mails) {
    expect(source).not.toContain('<script>');
    expect(source).not.toContain('\u001b[');
  }
  for (const odd of [
    { ...end, status: 'snapshot' },
    { ...end, run: '../x' },
    { ...end, client: 'web2' },
    { ...end, hooks: Array.from({ length: 21 }, () => end.hooks[0]) },
    { ...end, endedAt: 'now' },
  ])
    expect(await wire.reply('ended', odd)).toMatchObject({ ok: false });
  const state = await readFile('/byteback/.byteback/clients/web1.json', 'utf8');
  expect(state.length).toBeLessThan(20_000);
  expect((await stat('/byteback/.byteback/events.jsonl')).size).toBeLessThan(200_000);
});

test('two ends that nobody heard yet: each is told once, with a client whose clock is behind, too', async () => {
  const lineOf = (text: string) => text.split('\n').filter((line) => line.includes('cannot reach')).length;
  const before = lineOf(await events());
  await machine.stopSshd();
  for (let i = 0; i < 2; i += 1) expect((await web1.run('byteback-backup')).exitCode).toBe(10);
  await machine.startSshd();
  const file = join(web1.stateDir, 'ends.json');
  const pending = JSON.parse(await readFile(file, 'utf8')) as { ends: { endedAt: string }[] };
  expect(pending.ends).toHaveLength(2);
  await succeed();
  expect(lineOf(await events()) - before).toBe(2);
  expect((JSON.parse(await readFile(file, 'utf8')) as { ends: unknown[] }).ends).toEqual([]);
  // A failure of now is one of now, whatever the client's clock says.
  const end = {
    run: null,
    status: 'failed',
    exit: 16,
    phase: 'before',
    endedAt: '2001-01-01T00:00:00.000Z',
    hooks: [],
  };
  expect(await wire.reply('ended', { ...end, ageMs: 10 })).toMatchObject({ ok: true });
  expect(await status()).toContain('a run of web1 failed');
  await succeed();
});
