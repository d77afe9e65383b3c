import { describe, expect, test } from 'vitest';
import { alertsOf } from '../../test/helpers/health-facts.ts';
import type { ClientName } from '../protocol/names.ts';
import type { ClientStatus, StoreStatus } from '../report/fleet.ts';
import { whoseJail } from './status-running.ts';
import { type SpacePoint, thinned } from './status-space.ts';
import { tellSpace } from './status-words.ts';
import { storeAt } from './store.ts';

const gib = 1024 ** 3;
const facts = {
  totalBytes: 1000 * gib,
  freeBytes: 90 * gib,
  startPercent: 5,
  historyBytes: 500 * gib,
  prunableBytes: 500 * gib,
  nextRunsBytes: 20 * gib,
  thinned: true,
  metadataShort: false,
};

test.each([
  ['full, as it should be', {}, 'full-of-history', true, 'full of history: 91 % used as intended, next backups fit'],
  [
    'new',
    { freeBytes: 700 * gib, thinned: false },
    'filling',
    true,
    'filling with history: 30 % used, nothing had to go yet, next backups fit',
  ],
  [
    'a large day ahead',
    { nextRunsBytes: 300 * gib },
    'full-of-history',
    true,
    'full of history: 91 % used as intended, next backups fit once old history is pruned',
  ],
  [
    'too small',
    { nextRunsBytes: 900 * gib },
    'short',
    false,
    'short of room: 91 % used, and pruning has not freed enough; next backups do NOT fit',
  ],
  [
    'nearly nothing free',
    { freeBytes: 10 * gib, nextRunsBytes: 5 * gib },
    'short',
    true,
    'short of room: 99 % used, and pruning has not freed enough; next backups fit',
  ],
  [
    'full of protected history: each run is refused',
    { freeBytes: 40 * gib, prunableBytes: 0, nextRunsBytes: 20 * gib },
    'short',
    false,
    'short of room: 96 % used, and all of its history is protected; next backups do NOT fit',
  ],
  [
    'full, and little may go',
    { freeBytes: 20 * gib, prunableBytes: 10 * gib, nextRunsBytes: 20 * gib },
    'short',
    false,
    'short of room: 98 % used, and little of its history may be pruned; next backups do NOT fit',
  ],
  [
    'metadata',
    { metadataShort: true },
    'short',
    true,
    'short of room for metadata, 91 % of the space used; next backups fit',
  ],
] as const)('the space in words: %s', (_, changed, state, nextRunsFit, inWords) => {
  expect(tellSpace({ ...facts, ...changed })).toEqual({ state, nextRunsFit, inWords });
});

describe('alerts', () => {
  const now = Date.parse('2026-11-20T12:00:00Z');
  const hoursAgo = (hours: number) => new Date(now - hours * 3_600_000).toISOString();
  const store = { path: '/byteback', ...facts, ...tellSpace(facts) } as unknown as StoreStatus;
  const client = {
    name: 'web1' as ClientName,
    registered: true,
    overdue: false,
    newest: { at: hoursAgo(5) },
    rhythmMs: 86_400_000,
    pruningPaused: null,
    holds: [],
  } as unknown as ClientStatus;
  const alerts = (changed: object, events: Parameters<typeof alertsOf>[0]['events'] = []) =>
    alertsOf({ store, clients: [{ ...client, ...changed }], events }, now);

  test('none when all is well', () => {
    expect(alerts({})).toEqual([]);
  });

  test('a client that is overdue, then lost; never one without a key', () => {
    expect(alerts({ overdue: true, newest: { at: hoursAgo(40) } })).toMatchObject([
      { level: 'warning', what: 'no backup for 40 hours' },
    ]);
    expect(alerts({ overdue: true, newest: { at: hoursAgo(24 * 9) } })).toMatchObject([
      { level: 'critical', what: 'no backup for 9 days' },
    ]);
    expect(alerts({ overdue: true, newest: { at: hoursAgo(24 * 9) }, registered: false })).toEqual([]);
    expect(alerts({ overdue: true, newest: null })).toMatchObject([
      { level: 'warning', client: 'web1', what: 'it was registered, and has never sent anything' },
    ]);
  });

  test('what the guards did, with the command that ends it', () => {
    const holds = [
      { snapshot: '2026-11-18T030000Z', reason: '20 times larger', since: hoursAgo(9), by: 'destruction-guard' },
    ];
    expect(alerts({ pruningPaused: 'deletes all', holds })).toMatchObject([
      { level: 'critical', client: 'web1', fix: expect.stringContaining('byteback release web1 2026-11-18T030000Z') },
    ]);
    expect(alerts({ holds: [{ ...holds[0], by: 'growth-guard' }] })).toMatchObject([
      { level: 'warning', fix: expect.stringContaining('byteback client allow-growth web1') },
    ]);
  });

  test('events: the newest of each kind, while they are new, and a failed run until one came through', () => {
    const event = (kind: string, hours: number) => ({
      at: hoursAgo(hours),
      kind,
      client: 'web1',
      what: `${kind} ${hours}`,
    });
    expect(alerts({}, [event('bitrot', 50), event('bitrot', 20), event('refusal', 1)])).toMatchObject([
      { level: 'critical', what: 'bitrot 20' },
    ]);
    expect(alerts({}, [event('bitrot', 24 * 40), event('run-failed', 8), event('clock', 24 * 3)])).toEqual([]);
    expect(alerts({}, [event('run-failed', 2)])).toMatchObject([{ level: 'warning', what: 'run-failed 2' }]);
  });

  test('a drill that failed, until one goes well', () => {
    const drill = { at: hoursAgo(30), kind: 'drill', client: 'web1', what: '2 of 20 files cannot be restored' };
    expect(alerts({ lastProven: { at: hoursAgo(90), snapshot: null } }, [drill])).toMatchObject([
      { level: 'critical', fix: 'on web1: byteback drill' },
    ]);
    expect(alerts({ lastProven: { at: hoursAgo(3), snapshot: null } }, [drill])).toEqual([]);
  });

  test('the critical ones first', () => {
    const short = { ...store, ...tellSpace({ ...facts, metadataShort: true }) };
    const clients = [{ ...client, overdue: true, newest: { at: hoursAgo(40) } }] as unknown as ClientStatus[];
    expect(alertsOf({ store: short, clients, events: [] }, now).map(({ level }) => level)).toEqual([
      'critical',
      'warning',
    ]);
  });
});

describe('whose transfer a process is', () => {
  const store = storeAt('/byteback');
  const jail = (bind: string, directory: string, program: string) => [
    'bwrap',
    '--unshare-all',
    '--ro-bind',
    '/usr',
    '/usr',
    bind,
    directory,
    '/data',
    '--',
    program,
    '--server',
  ];

  test.each([
    ['a backup', jail('--bind', '/byteback/clients/web1/current/fs', 'rsync'), { client: 'web1', kind: 'backup' }],
    [
      'a restore',
      jail('--ro-bind', '/byteback/clients/web1/snapshots/2026-11-18T030000Z/fs', 'rsync'),
      { client: 'web1', kind: 'restore' },
    ],
    ['a check', jail('--ro-bind', '/byteback/clients/web1/current/fs', 'rsync'), { client: 'web1', kind: 'check' }],
    ['a look-up', jail('--ro-bind', '/byteback/clients/web1/snapshots', 'node'), undefined],
    ['another store', jail('--bind', '/other/clients/web1/current/fs', 'rsync'), undefined],
    ['no name of a client', jail('--bind', '/byteback/clients/../etc', 'rsync'), undefined],
    ['another program', ['bash', '--bind', '/byteback/clients/web1/current/fs', 'rsync'], undefined],
  ])('%s', (_, argv, expected) => {
    expect(whoseJail(store, argv)).toEqual(expected);
  });
});

test('the space of the past: all points of a month, one a day of three years, then none', () => {
  const hour = 3_600_000;
  const now = Date.parse('2026-11-20T12:00:00Z');
  const points = Array.from(
    { length: 24 * 365 * 4 },
    (_, at): SpacePoint => ({
      at: new Date(now - (24 * 365 * 4 - 1 - at) * hour).toISOString(),
      totalBytes: 1,
      freeBytes: 1,
      historyBytes: 0,
    }),
  );
  const kept = thinned(points, now);
  expect(kept.at(-1)).toBe(points.at(-1));
  const newer = kept.filter(({ at }) => now - Date.parse(at) < 31 * 24 * hour);
  expect(newer).toHaveLength(31 * 24);
  const older = kept.slice(0, -newer.length);
  expect(older.length).toBeGreaterThan(1060);
  expect(older.length).toBeLessThan(1067);
  expect(new Set(older.map(({ at }) => at.slice(0, 10))).size).toBe(older.length);
  expect(thinned(kept, now)).toEqual(kept);
});
