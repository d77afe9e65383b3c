import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MailServer, startMailServer } from '../../../test/helpers/mail-server.ts';
import { parseServerConfig } from '../../config/server-config.ts';
import { type ClientName, parseClientName } from '../../protocol/names.ts';
import { silentLog } from '../../system/log.ts';
import { recordEvent } from '../events.ts';
import { storeAt } from '../store.ts';
import { postRound, type RoundDeps } from './round.ts';
import { readQueue } from './spool.ts';

// Rounds over a store that is only directories, with a real mail server.
const web1 = parseClientName('web1') as ClientName;
const minuteMs = 60_000;
const dayMs = 1440 * minuteMs;
const start = Date.parse('2026-11-20T03:00:00Z');
let directory: string;
let server: MailServer;
let nowMs: number;
let deps: RoundDeps;

function at(ms: number): string {
  return new Date(start + ms).toISOString();
}

async function round(ms: number) {
  nowMs = start + ms;
  return postRound(deps);
}

async function addRun(ms: number, more: object = {}): Promise<void> {
  const id = String(ms).padStart(32, '0');
  const name = `${at(ms).slice(0, 10)}T${at(ms).slice(11, 19).replaceAll(':', '')}Z`;
  const figures = { durationMs: 1, wireBytes: 1, sentBytes: 1, sentFiles: 1, files: 1, totalBytes: 1, retries: 0 };
  const record = {
    ...{ format: 1, client: web1, run: id, state: 'completed', machineId: '', clientVersion: '1' },
    ...{
      preparedAt: at(ms - 1000),
      expectedBytes: 1,
      previous: null,
      transfers: [],
      completedAt: at(ms),
      snapshot: name,
    },
    ...{ status: 'ok', unread: [], figures, ...more },
  };
  const store = storeAt(directory);
  await mkdir(store.runRecordsDir(web1), { recursive: true });
  await mkdir(join(store.snapshotsDir(web1), name), { recursive: true });
  await writeFile(join(store.runRecordsDir(web1), `${id}.json`), JSON.stringify(record));
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'byteback-post-'));
  server = await startMailServer();
  const store = storeAt(directory);
  await mkdir(store.snapshotsDir(web1), { recursive: true });
  await mkdir(store.stateDir, { recursive: true });
  const key = `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, 7)]).toString('base64')}`;
  await writeFile(
    join(directory, 'keys'),
    `restrict,command="/usr/lib/byteback/byteback-receive" ${key} client:web1\n`,
  );
  deps = {
    config: parseServerConfig(
      'server.toml',
      `[mail]
      admin = "admin@x"
      smtp = "smtp://127.0.0.1:${server.port}"
      [client.web1]
      report = "reports@x"
      errors = "owner@x"`,
    ),
    openStore: async () => store,
    spool: join(directory, 'spool'),
    registryFile: join(directory, 'keys'),
    server: 'vault',
    clock: { now: () => new Date(nowMs), sleep: async () => undefined },
    log: silentLog,
  };
});
afterEach(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const told = () => server.mails.map(({ to, subject }) => `${to.join()} ${subject.replace(/^byteback vault: /, '')}`);

describe('a round', () => {
  it('reports each run once, to those who want it', async () => {
    await addRun(0);
    await round(1000);
    await addRun(dayMs, { status: 'partial', unread: ['/x'] });
    await round(dayMs + 1000);
    await round(dayMs + 2000);
    expect(told()).toEqual([
      'reports@x ok web1 2026-11-20 03:00Z: 1 file, 1 byte',
      'reports@x PARTIAL web1 2026-11-21 03:00Z: 1 file, 1 byte',
      'owner@x PARTIAL web1 2026-11-21 03:00Z: 1 file, 1 byte',
    ]);
  });

  it('tells nothing of what was long before it began', async () => {
    await addRun(-dayMs / 2);
    await round(0);
    expect(told()).toEqual([]);
  });

  it('tells the admin and the owner of a run with nothing in it, of an overdue client weekly', async () => {
    await addRun(0, {
      figures: { ...{ durationMs: 1, wireBytes: 1, sentBytes: 0, sentFiles: 0 }, files: 0, totalBytes: 0, retries: 0 },
    });
    await round(1000);
    expect(told()).toEqual([
      'reports@x EMPTY web1 2026-11-20 03:00Z: 0 files, 0 bytes',
      'admin@x ALERT web1 2026-11-20 03:00Z: web1 sent a backup with nothing in it',
      'owner@x ALERT web1 2026-11-20 03:00Z: web1 sent a backup with nothing in it',
    ]);
    server.mails.length = 0;
    await round(dayMs);
    expect(told()).toEqual([]);
    for (const day of [2, 3, 4, 5, 6, 7, 8, 9.5]) await round(day * dayMs);
    expect(told().filter((line) => line.startsWith('admin@x'))).toEqual([
      'admin@x OVERDUE web1 2026-11-22 03:00Z: no backup of web1 for 2 days',
      'admin@x OVERDUE web1 2026-11-29 15:00Z: no backup of web1 for 10 days',
    ]);
    expect(told().filter((line) => line.startsWith('owner@x'))).toHaveLength(2);
  });

  it('keeps what does not go, tries again later and later, and sends it when the server is back', async () => {
    await server.stop();
    await addRun(0);
    expect(await round(1000)).toEqual({ sent: 0, waiting: 1 });
    expect(await round(2000)).toEqual({ sent: 0, waiting: 1 });
    const [first] = await readQueue(deps.spool);
    expect(first).toMatchObject({
      attempts: 1,
      nextAt: at(1000 + minuteMs),
      lastError: expect.stringContaining('127.0.0.1'),
    });
    await round(3 * minuteMs);
    expect((await readQueue(deps.spool))[0]).toMatchObject({ attempts: 2, nextAt: at(5 * minuteMs) });
    server = await startMailServer(server.port);
    await round(6 * minuteMs);
    expect(told()).toHaveLength(1);
    expect(await readQueue(deps.spool)).toEqual([]);
    expect((await readdir(join(deps.spool, 'queue'))).length).toBe(0);
  });

  it('gives up after five days', async () => {
    await server.stop();
    await addRun(0);
    await round(1000);
    await addRun(5.5 * dayMs);
    await round(6 * dayMs);
    const waiting = await readQueue(deps.spool);
    expect(waiting.map(({ madeAt }) => madeAt)).not.toContain(at(1000));
  });

  it('tells what is waited for once a day, though each prune finds it again', async () => {
    await addRun(0);
    for (let hour = 1; hour < 30; hour += 4) {
      const event = { at: at(hour * 60 * minuteMs), kind: 'pruning-waits', what: 'pruning waits' };
      await recordEvent(storeAt(directory), event);
      await addRun(hour * 60 * minuteMs);
      await round(hour * 60 * minuteMs + 1);
    }
    expect(told().filter((line) => line.includes('pruning waits'))).toHaveLength(2);
  });

  it('tells that the store is away, once a day', async () => {
    deps = { ...deps, openStore: () => Promise.reject(new Error('nothing is mounted')) };
    for (let hour = 0; hour < 30; hour += 4) await round(hour * 60 * minuteMs);
    expect(told().filter((line) => line.includes('the store /byteback is not there'))).toHaveLength(2);
  });
});
