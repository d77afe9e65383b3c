import { appendFile, chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serverPaths } from '../../src/config/paths.ts';
import { loadServerConfig } from '../../src/config/server-config.ts';
import { postRound } from '../../src/server/post/round.ts';
import { openStore } from '../../src/server/store.ts';
import { silentLog } from '../../src/system/log.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { acceptInvite, readInvite } from '../helpers/invite.ts';
import { type MailServer, startMailServer } from '../helpers/mail-server.ts';
import { wireOf } from '../helpers/wire.ts';

// Reports and alerts from real runs, to a real mail server and a real web server on the loopback address.
let machine: InstalledMachine;
let client: TestClient;
let mailServer: MailServer;
let web: Server;
const calls: { path: string; body: string }[] = [];
const minuteMs = 60_000;

/** A round of the installed byteback's own code, at a time to come. */
async function roundAfter(ms: number, openStoreOr = () => openStore({ store: '/byteback' })) {
  const deps = {
    config: await loadServerConfig(),
    openStore: openStoreOr,
    spool: serverPaths.spool,
    registryFile: serverPaths.authorizedKeys,
    server: 'vault',
    clock: { now: () => new Date(Date.now() + ms), sleep: async () => undefined },
    log: silentLog,
  };
  for (let i = 0; i < 200; i += 1) {
    const done = await postRound(deps);
    if (done !== undefined) return done;
    // The sender that the server itself has started is still at work.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the sender of the server does not end');
}

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !what(); i += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  if (!what()) throw new Error(`it did not come; the queue: ${(await must(['byteback', 'report', '--queue'])).stdout}`);
}

async function senderHasEnded(): Promise<void> {
  for (let i = 0; i < 400 && (await command(['pgrep', '-f', 'report --send'])).exitCode === 0; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const to = (address: string) => mailServer.mails.filter((mail) => mail.to.includes(address));

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1', '--source', `${machine.disk}/tree`);
  await mkdir(`${machine.disk}/tree`);
  mailServer = await startMailServer();
  web = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      calls.push({ path: request.url ?? '', body });
      response.end('OK');
    });
  }).listen(0, '127.0.0.1');
  const url = () => `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  await new Promise((resolve) => web.once('listening', resolve));
  await writeFile('/etc/byteback/smtp-password', 'pass word\n', { mode: 0o600 });
  await appendFile(
    '/etc/byteback/server.toml',
    `
[mail]
from = "byteback@vault.example.net"
admin = "admin@example.net"
smtp = "smtp://me@127.0.0.1:${mailServer.port}"
smtp_password_file = "/etc/byteback/smtp-password"
[client.web1]
report = ["reports@example.net"]
errors = "owner@example.net"
ping = "${url()}/check"
webhook = "${url()}/hook"
`,
  );
  await appendFile(`${client.configDir}/client.toml`, `ping = "${url()}/own"\nwebhook = "${url()}/ownhook"\n`);
});
afterAll(async () => {
  await mailServer?.stop();
  web?.close();
  await machine?.dispose();
});

describe('a run', () => {
  it('without any file ends well, and is reported as empty to the admin and to its owner', async () => {
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
    await until(() => to('owner@example.net').length > 0 && to('admin@example.net').length > 0);
    expect(to('owner@example.net')[0]?.subject).toMatch(/: ALERT web1 .* sent a backup with nothing in it$/);
    expect(to('admin@example.net')).toHaveLength(1);
    await until(() => calls.some(({ path }) => path === '/check/fail'));
    // What else is to be told of this run comes before the next one is looked at.
    await senderHasEnded();
    mailServer.mails.length = 0;
    calls.length = 0;
  });

  it('is reported to those who want reports, by mail and web hooks, at once', async () => {
    await writeFile(`${machine.disk}/tree/file`, 'content\n');
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
    await until(() => to('reports@example.net').length > 0);
    const [mail] = to('reports@example.net');
    expect(mail?.subject).toMatch(/^byteback \S+: ok web1 \d{4}-\d\d-\d\d \d\d:\d\dZ: 1 file, 8 bytes$/);
    expect(mail).toMatchObject({ from: 'byteback@vault.example.net', user: 'me' });
    expect(mail?.source).toContain('Content-Type: text/plain; charset=utf-8');
    expect(mail?.source).toContain('Content-Type: text/html; charset=utf-8');
    expect(mail?.source).toContain('Auto-Submitted: auto-generated');
    expect(mail?.source).toMatch(/^Snapshot +\d{4}-/m);
    await until(() => calls.some(({ path }) => path === '/check') && calls.some(({ path }) => path === '/hook'));
    expect(JSON.parse(calls.find(({ path }) => path === '/hook')?.body ?? '')).toMatchObject({
      event: 'run',
      client: 'web1',
      status: 'ok',
    });
    // The client's own: before it, after it.
    expect(calls.filter(({ path }) => path.startsWith('/own')).map(({ path }) => path)).toEqual([
      '/own/start',
      '/own',
      '/ownhook',
    ]);
    expect(mailServer.mails).toHaveLength(1);
  });

  it('succeeds at once though the mail server is away; the mail waits, doctor says so, and it goes later', async () => {
    await mailServer.stop();
    await writeFile(`${machine.disk}/tree/file`, 'more content\n');
    expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
    const waiting = async () =>
      (
        JSON.parse((await must(['byteback', 'report', '--queue', '--json'])).stdout) as {
          waiting: { what: string; attempts: number; lastError?: string }[];
        }
      ).waiting;
    for (let i = 0; i < 200 && ((await waiting())[0]?.attempts ?? 0) === 0; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await waiting()).toEqual([
      expect.objectContaining({
        what: expect.stringContaining('mail to reports@example.net: byteback'),
        attempts: 1,
        lastError: expect.stringContaining('127.0.0.1'),
      }),
    ]);
    const { findings } = JSON.parse((await must(['byteback', 'doctor', '--json'])).stdout);
    expect(findings).toContainEqual(
      expect.objectContaining({ area: 'mail', state: 'warning', what: expect.stringContaining('did not go yet') }),
    );
    const test = await command(['byteback', 'report', '--test']);
    expect(test).toMatchObject({ exitCode: 10, stderr: expect.stringContaining('no mail to admin@example.net') });
    expect(test.stderr + JSON.stringify(await waiting())).not.toContain('pass word');

    mailServer = await startMailServer(mailServer.port);
    await roundAfter(10_000);
    expect(mailServer.mails).toHaveLength(0);
    await roundAfter(2 * minuteMs);
    expect(to('reports@example.net')).toHaveLength(1);
    expect(await waiting()).toEqual([]);
    await must(['byteback', 'report', '--test', '--to', 'me@example.net']);
    expect(to('me@example.net')[0]?.subject).toContain('test');
  });
});

describe('alerts', () => {
  it('a thousand refusals make at most five mails, the last a digest with the count', async () => {
    mailServer.mails.length = 0;
    await wireOf(machine, client).ask('rm -rf /');
    await until(() => to('admin@example.net').length > 0);
    expect(to('admin@example.net')[0]?.subject).toContain('ALERT web1');
    // The worst case: all of them have a line of their own.
    for (let part = 0; part < 9; part += 1) {
      const at = new Date(Date.now() + 1 + part).toISOString();
      const line = JSON.stringify({ at, kind: 'refusal', client: 'web1', what: '<b>"rm -rf /"</b>', check: 'command' });
      await appendFile('/byteback/.byteback/events.jsonl', `${line}\n`.repeat(111));
      await roundAfter(20 + part);
    }
    await roundAfter(16 * minuteMs);
    await roundAfter(17 * minuteMs);
    const its = to('admin@example.net');
    expect(its.length).toBeLessThanOrEqual(5);
    expect(its.at(-1)?.subject).toMatch(/DIGEST .*: 1,000 events$/);
    for (const { source } of its) expect(source.slice(source.indexOf('<!doctype'))).not.toContain('<b>');
    // Refusals are the admin's.
    expect(to('owner@example.net')).toEqual([]);
  });

  it('an overdue client is reported once to the admin and to its owner, without configuration', async () => {
    mailServer.mails.length = 0;
    await roundAfter(3 * 24 * 60 * minuteMs);
    await roundAfter(3 * 24 * 60 * minuteMs + 5 * minuteMs);
    for (const address of ['admin@example.net', 'owner@example.net']) {
      const overdue = to(address).filter(({ subject }) => subject.includes('OVERDUE web1'));
      expect(overdue).toHaveLength(1);
      expect(overdue[0]?.source).toContain('no backup of web1 for 3 days');
    }
  });

  it('a store that is not there is told, too', async () => {
    mailServer.mails.length = 0;
    await roundAfter(4 * 24 * 60 * minuteMs, () => Promise.reject(new Error('nothing is mounted')));
    expect(to('admin@example.net').at(-1)?.subject).toContain('the store /byteback is not there');
  });
});

describe('--debug', () => {
  it('shows what is run, how it ended and when; no key, no password, no token of an address', async () => {
    const tokens = ['hook-1f0b77aa', 'ping-5c9e02d4', 'own-86e1c7b3'];
    for (const [file, pattern] of [
      ['/etc/byteback/server.toml', /(ping|webhook) = "([^"]*)"/g],
      [`${client.configDir}/client.toml`, /(ping) = "([^"]*)"/g],
    ] as const) {
      const toml = await readFile(file, 'utf8');
      const secret = file.includes('client') ? tokens[2] : undefined;
      await writeFile(
        file,
        toml.replace(pattern, (_, key, url) => `${key} = "${url}/${secret ?? tokens[key === 'ping' ? 1 : 0]}"`),
      );
    }
    await writeFile(`${machine.disk}/tree/file`, 'content to debug\n');
    calls.length = 0;
    const { stdout: invite } = await must([
      ...['byteback', 'client', 'invite', 'web9', '--host', '127.0.0.1', '--port', String(machine.port)],
    ]);
    const another = machine.clientToBe('web9');
    const said = [
      await acceptInvite(another, invite, '--hostname', 'web9', '--debug'),
      await client.run('byteback-backup', '--debug'),
      await client.run('byteback-restore', '--debug', `${machine.disk}/tree/file`),
      await command(['byteback', 'report', '--send', '--debug']),
      await command(['byteback-prune', '--debug']),
    ].map(({ stdout, stderr }) => stdout + stderr);
    await until(() => tokens.every((token) => calls.some(({ path }) => path.includes(token))));
    expect(said[1]).toMatch(/^ {2}debug: \+ .*rsync .*--delete/m);
    expect(said[1]).toMatch(/^ {2}debug: ssh exited 0 after \d/m);
    const keys = await Promise.all(
      [`${client.configDir}/key`, `${another.configDir}/key`, machine.adminKey].map((file) => readFile(file, 'utf8')),
    );
    const secrets = [
      ...tokens,
      'pass word',
      readInvite(invite).token,
      // What begins each key is the same in all, and no secret.
      ...keys.flatMap((key) => key.split('\n').slice(3, -2)),
    ];
    expect(secrets.length).toBeGreaterThan(9);
    for (const text of said) for (const secret of secrets) expect(text).not.toContain(secret);
  });
});

describe('sendmail', () => {
  it('takes the mails where no server is named; without one they wait and doctor says so', async () => {
    const toml = await readFile('/etc/byteback/server.toml', 'utf8');
    await writeFile('/etc/byteback/server.toml', toml.replace(/^smtp.*\n/gm, ''));
    expect((await command(['byteback', 'report', '--test'])).stderr).toContain('there is no sendmail on this machine');
    const { stdout } = await command(['byteback', 'doctor', '--json']);
    expect(stdout).toContain('no mail leaves this machine: there is no sendmail');
    const out = `${machine.scratch}/sendmail`;
    await writeFile('/usr/sbin/sendmail', `#!/bin/sh\necho "$@" >${out}\ncat >>${out}\n`);
    await chmod('/usr/sbin/sendmail', 0o755);
    try {
      await must(['byteback', 'report', '--test']);
      const text = await readFile(out, 'utf8');
      expect(text).toMatch(/^-i -f byteback@vault\.example\.net -- admin@example\.net\n/);
      expect(text).toMatch(/^Subject: byteback \S+: ok test/m);
    } finally {
      await rm('/usr/sbin/sendmail');
    }
  });
});
