/**
 * A fleet of invented clients with more than a year behind them, for the page's tests and pictures. The snapshots that are
 * left, the order in which they would go and all reasons are the real planner's.
 */
import type { ClientName } from '../../src/protocol/names.ts';
import { snapshotNameAt } from '../../src/protocol/names.ts';
import type { ClientStatus, ServerStatus } from '../../src/report/fleet.ts';
import type { PageModel, PageSnapshot } from '../../src/report/page/model.ts';
import { emptyHistory, type History, historyBytes, recordDeletion, recordRun } from '../../src/retention/history.ts';
import { makePlan, planDeletions } from '../../src/retention/plan.ts';
import type { Client, Hold, Snapshot } from '../../src/retention/types.ts';
import { tellSpace } from '../../src/server/status-words.ts';
import { alertsOf } from './health-facts.ts';

const dayMs = 86_400_000;
const gib = 1024 ** 3;
/** Fixed, so that the same page is made each time. */
export const exampleNow = Date.parse('2026-11-20T09:42:00Z');

interface Invented {
  readonly name: string;
  readonly days: number;
  readonly treeGib: number;
  readonly churnGib: number;
  readonly everyHours?: number;
  readonly lastHoursAgo?: number;
  readonly provenDaysAgo?: number;
  readonly partial?: number;
  readonly held?: string;
  readonly registered?: boolean;
  readonly paused?: string;
  readonly running?: boolean;
}

const invented: readonly Invented[] = [
  { name: 'web1.example.net', days: 410, treeGib: 84, churnGib: 1.6, provenDaysAgo: 3 },
  { name: 'web2.example.net', days: 410, treeGib: 79, churnGib: 1.4, provenDaysAgo: 5 },
  { name: 'db1.example.net', days: 398, treeGib: 310, churnGib: 11, everyHours: 6, provenDaysAgo: 1, running: true },
  {
    name: 'mail.example.net',
    days: 372,
    treeGib: 512,
    churnGib: 4.2,
    provenDaysAgo: 6,
    held: 'before the move to the new mail server',
  },
  { name: 'files.example.net', days: 405, treeGib: 1180, churnGib: 6.5, provenDaysAgo: 9, partial: 3 },
  { name: 'git.example.net', days: 240, treeGib: 46, churnGib: 0.7, provenDaysAgo: 2 },
  { name: 'ci.example.net', days: 160, treeGib: 140, churnGib: 9.5 },
  { name: 'laptop-anna', days: 300, treeGib: 210, churnGib: 2.1, lastHoursAgo: 24 * 9 + 4, provenDaysAgo: 30 },
  {
    name: 'laptop-jon',
    days: 88,
    treeGib: 164,
    churnGib: 1.9,
    lastHoursAgo: 18,
    paused: 'deletes 92 % of its files at once',
  },
  {
    name: 'old-shop',
    days: 390,
    treeGib: 38,
    churnGib: 0.2,
    lastHoursAgo: 24 * 71,
    registered: false,
    provenDaysAgo: 80,
  },
];

function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function snapshotsOf(one: Invented, random: () => number, now: number): Snapshot[] {
  const everyMs = (one.everyHours ?? 24) * 3_600_000;
  const last = now - (one.lastHoursAgo ?? (one.everyHours === undefined ? 6 : 3)) * 3_600_000;
  const count = Math.floor((one.days * dayMs - (now - last)) / everyMs);
  return Array.from({ length: count }, (_, at): Snapshot => {
    const time = last - (count - 1 - at) * everyMs + Math.floor((random() - 0.5) * 1_200_000);
    const busy = random() < 0.04 ? 6 : 1;
    const born = ((one.churnGib * (0.4 + 1.2 * random()) * busy) / (24 / (one.everyHours ?? 24))) * gib;
    const bornBytes = at === 0 ? one.treeGib * gib : born;
    const isPartial = one.partial !== undefined && at === count - 1;
    return {
      name: snapshotNameAt(new Date(time)),
      time: Math.floor(time / 1000) * 1000,
      status: isPartial ? 'partial' : 'ok',
      bornBytes,
      diedBytes: at === 0 ? 0 : born * 0.86,
    };
  });
}

function historyOf({ name, days }: Invented, snapshots: readonly Snapshot[]): History {
  const history = emptyHistory();
  for (const { bornBytes, ...run } of snapshots) recordRun(history, { ...run, writtenBytes: bornBytes });
  if (snapshots.length === 0) throw new Error(`${name} has no snapshots in ${days} days`);
  return history;
}

/** The whole fleet as the page shows it. @param now another moment, for pictures that are not to look old. */
export function exampleFleet(now: number = exampleNow): PageModel {
  const random = randomNumbers(7);
  const totalBytes = 11_000 * gib;
  const histories = new Map(invented.map((one) => [one, historyOf(one, snapshotsOf(one, random, now))]));
  const holds: Hold[] = [];
  for (const [{ name, held }, { entries }] of histories) {
    const snapshot = entries[Math.floor(entries.length * 0.6)];
    if (held !== undefined && snapshot !== undefined) holds.push({ client: name, name: snapshot.name, reason: held });
  }
  const clientsFor = (): Client[] =>
    [...histories].map(([{ name, paused }, { entries, middleYield }]) => ({
      name,
      policy: { weight: 1, keepLast: 3 },
      snapshots: entries.map((entry) => ({ ...entry })),
      middleYield,
      ...(paused === undefined ? {} : { paused }),
    }));
  const treesBytes = invented.reduce((sum, { treeGib }) => sum + treeGib * gib, 0);
  const allHistory = () => [...histories.values()].reduce((sum, { entries }) => sum + historyBytes(entries), 0);
  const state = { now, freeBytes: totalBytes - treesBytes - allHistory(), clients: clientsFor(), holds };
  for (const { client, snapshot, freesBytes } of planDeletions(state, {
    freeBytes: totalBytes * 0.088,
    order: 'importance',
  }).pruned) {
    const history = [...histories].find(([{ name }]) => name === client)?.[1];
    if (history !== undefined) recordDeletion(history, snapshot.name, freesBytes);
  }
  const all = new Map([...histories].map(([one, { entries }]) => [one, entries]));
  const clients = clientsFor();
  const history = Math.round(allHistory());
  const freeBytes = Math.round(totalBytes - history - treesBytes);
  const plan = makePlan(
    { now, freeBytes, clients, holds },
    { freeBytes: Number.POSITIVE_INFINITY, order: 'importance' },
  );
  const going = plan.decisions.filter(({ verdict }) => verdict === 'pruned');
  const reasonOf = new Map(
    plan.decisions.map(({ client, snapshot, reason }) => [`${client} ${snapshot.name}`, reason]),
  );
  const placeOf = new Map(going.map(({ client, snapshot }, at) => [`${client} ${snapshot.name}`, at + 1]));
  const iso = (time: number) => new Date(time).toISOString();
  const facts = { totalBytes, freeBytes, historyBytes: history, nextRunsBytes: Math.round(61 * gib) };
  const status: ServerStatus = {
    at: iso(now),
    store: {
      path: '/byteback',
      ...facts,
      ...tellSpace({ ...facts, prunableBytes: history, startPercent: 5, thinned: true, metadataShort: false }),
      pruneBelowPercent: 5,
      pruneUntilPercent: 10,
      forecastBytes: 100e9,
    },
    clients: [...all].map(([one, snapshots]) => statusOf(one, snapshots, holds, now)),
    alerts: [],
  };
  const events = [
    {
      at: iso(now - 4 * 3_600_000),
      kind: 'refusal',
      client: 'laptop-anna',
      what: 'a log-in was refused',
      why: 'its address 198.51.100.23 is not in from',
      check: 'from',
      count: 14,
    },
    {
      at: iso(now - 18 * 3_600_000),
      kind: 'destroys',
      client: 'laptop-jon',
      what: 'deletes 92 % of its files at once',
      why: 'its last good snapshot is held and its pruning paused',
    },
    {
      at: iso(now - 3 * dayMs),
      kind: 'run-failed',
      client: 'ci.example.net',
      what: 'a run ended without a snapshot',
      why: 'the connection was cut and did not come back',
    },
    {
      at: iso(now - 11 * dayMs),
      kind: 'growth',
      client: 'files.example.net',
      what: 'a run was refused: 14 times larger than usual',
      why: 'allowed by the admin the same day',
    },
  ];
  const alerts = alertsOf({ store: status.store, clients: status.clients, events }, now);
  return {
    host: 'vault',
    version: '0.1.0',
    status: { ...status, alerts },
    snapshots: new Map(
      [...all].map(([{ name: client }, snapshots]) => [
        client,
        snapshots.map(({ name, time, status: its, bornBytes }): PageSnapshot => {
          const key = `${client} ${name}`;
          const held = holds.some((hold) => hold.client === client && hold.name === name);
          return {
            name,
            at: iso(time),
            status: its,
            held,
            newBytes: Math.round(bornBytes),
            place: placeOf.get(key) ?? null,
            reason: (reasonOf.get(key) ?? '').split('; ')[0] ?? '',
          };
        }),
      ]),
    ),
    space: Array.from({ length: 300 }, (_, at) => {
      const share = at / 299;
      const grown = Math.min(1, share * 1.7);
      const saw = grown < 1 ? 0 : 0.045 * (((at * 1.37) % 20) / 20);
      const used = totalBytes * Math.min(0.95, 0.3 + 0.6 * grown + saw);
      const trees = treesBytes * (0.62 + 0.38 * share);
      return {
        at: iso(now - (299 - at) * 1.36 * dayMs),
        totalBytes,
        freeBytes: totalBytes - used,
        historyBytes: Math.max(0, used - trees),
      };
    }),
    events: events.map(({ why, client, count = 1, at, kind, what }) => ({ at, kind, client, what, why, count })),
    next: going.map(({ client, snapshot, freesBytes, reason }) => ({
      client,
      snapshot: snapshot.name,
      at: iso(snapshot.time),
      freesBytes,
      reason,
    })),
    pruningRefused: null,
  };
}

function statusOf(one: Invented, snapshots: readonly Snapshot[], holds: readonly Hold[], now: number): ClientStatus {
  const iso = (time: number) => new Date(time).toISOString();
  const newest = snapshots.at(-1);
  const [oldest] = snapshots;
  if (newest === undefined || oldest === undefined) throw new Error('every invented client has snapshots');
  const depthDays = (now - oldest.time) / dayMs;
  const held = holds.filter(({ client }) => client === one.name);
  const treeBytes = Math.round(one.treeGib * gib);
  return {
    name: one.name as ClientName,
    registered: one.registered !== false,
    snapshots: snapshots.length,
    held: held.length,
    holds: held.map(({ name, reason }) => ({
      snapshot: name,
      reason,
      since: iso(now - 40 * dayMs),
      by: 'admin',
    })),
    oldestAt: iso(oldest.time),
    newest: {
      name: newest.name,
      at: iso(newest.time),
      status: newest.status,
      totalBytes: treeBytes,
      files: Math.round(one.treeGib * 4100),
      sentBytes: Math.round(newest.bornBytes),
      durationMs: 240_000 + one.churnGib * 40_000,
      unread: newest.status === 'partial' ? (one.partial ?? 0) : 0,
    },
    rhythmMs: (one.everyHours ?? 24) * 3_600_000,
    openRunSince: one.running === true ? iso(now - 95_000) : null,
    running:
      one.running === true
        ? [
            {
              kind: 'backup',
              run: '0123456789abcdef0123456789abcdef',
              since: iso(now - 95_000),
              expectedBytes: Math.round(3.1 * gib),
              doneBytes: Math.round(1.72 * gib),
              bytesPerSecond: 19_440_000,
            },
          ]
        : [],
    overdue: now - newest.time > 49 * 3_600_000,
    pruningPaused: one.paused ?? null,
    depthDays,
    depthWithMoreDays: one.paused === undefined && one.days > 200 ? depthDays * 1.12 : null,
    historyBytes: Math.round(historyBytes(snapshots)),
    forecast:
      one.paused === undefined && one.days > 200
        ? `${one.name}: ${Math.round(depthDays)} days of history at today's churn; 100 GB more disk would give ${Math.round(depthDays * 1.12)}`
        : `${one.name}: ${Math.round(depthDays)} days of history, all that there is; nothing had to go yet`,
    lastProven:
      one.provenDaysAgo === undefined ? null : { at: iso(now - one.provenDaysAgo * dayMs), snapshot: newest.name },
  };
}

/** What a hostile client, or one that has taken over the receiver, would like to see in a page. */
export const hostileTexts = [
  '<script>document.title="owned"</script>',
  '"><img src=x onerror="document.title=\'owned\'">',
  "' onmouseover='document.title=1' x='",
  '</style><script>document.title="owned"</script>',
  '</title><script>document.title="owned"</script><!--',
  '<svg/onload=document.title="owned">',
  'javascript:document.title="owned"',
  '\u202egnp.exe\u009b31m\u0000',
  '</details></section></main><form action=//evil.example>',
  '{{constructor.constructor("document.title=1")()}}`$',
] as const;

/** The same fleet, with a hostile text wherever one could come in; names that no server would take among them. */
export function hostileFleet(now: number = exampleNow): PageModel {
  const fleet = exampleFleet(now);
  const bad = (at: number) => hostileTexts[at % hostileTexts.length] ?? '';
  const renamed = new Map(fleet.status.clients.map(({ name }, at) => [String(name), `${bad(at)}${at}`]));
  const nameOf = (name: string | null) => (name === null ? null : (renamed.get(name) ?? name));
  return {
    ...fleet,
    host: bad(4),
    version: bad(1),
    status: {
      ...fleet.status,
      store: { ...fleet.status.store, path: bad(2), inWords: bad(3) },
      clients: fleet.status.clients.map((client, at) => ({
        ...client,
        name: nameOf(client.name) as ClientName,
        forecast: bad(at + 1),
        pruningPaused: bad(at + 2),
        newest: client.newest === null ? null : { ...client.newest, name: bad(at + 3) },
        holds: [{ snapshot: bad(at), reason: bad(at + 5), since: bad(at + 6), by: 'admin' }],
      })),
      alerts: hostileTexts.map((text) => ({ id: 'x', level: 'critical', client: text, what: text, fix: text })),
    },
    snapshots: new Map(
      [...fleet.snapshots].map(([client, its]) => [
        nameOf(client) ?? '',
        its.map((one, at) => ({ ...one, name: bad(at), reason: bad(at + 1) })),
      ]),
    ),
    events: hostileTexts.map((text) => ({ at: text, kind: text, client: text, what: text, why: text, count: 2 })),
    next: hostileTexts.map((text) => ({ client: text, snapshot: text, at: text, freesBytes: 1, reason: text })),
    pruningRefused: bad(0),
  };
}
