import { expect, test } from 'vitest';
import { serverText } from '../../src/commands/status-text.ts';
import { checkServer } from '../../src/report/check.ts';
import type { ClientStatus, ServerStatus } from '../../src/report/fleet.ts';
import { alertMail } from '../../src/report/mail.ts';
import { metricsText } from '../../src/report/metrics.ts';
import { renderPage } from '../../src/report/page/page.ts';
import { alertOf, healthChecks, healthOf, verdictOf } from '../../src/server/health/checks.ts';
import type { FactValues, HealthFacts } from '../../src/server/health/facts.ts';
import { newFindings } from '../../src/server/post/health.ts';
import { exampleFleet } from '../helpers/example-fleet.ts';
import { healthyFacts, healthyStore } from '../helpers/health-facts.ts';

// One health: each check of the one list fires in doctor, status, --check, metrics, page and mail.

const now = Date.parse('2026-11-20T12:00:00Z');
const ago = (days: number) => new Date(now - days * 86_400_000).toISOString();
const web1 = {
  name: 'web1',
  registered: true,
  snapshots: 3,
  held: 0,
  holds: [],
  oldestAt: ago(9),
  newest: { name: '2026-11-20T030000Z', at: ago(0.3), status: 'ok', totalBytes: 1, files: 1, sentBytes: 1 },
  rhythmMs: 86_400_000,
  openRunSince: null,
  running: [],
  overdue: false,
  pruningPaused: null,
  depthDays: null,
  depthWithMoreDays: null,
  historyBytes: null,
  forecast: null,
  lastProven: null,
} as unknown as ClientStatus;
const client = (changed: object): Partial<FactValues> => ({ clients: [{ ...web1, ...changed } as ClientStatus] });
const event = (kind: string): Partial<FactValues> => ({
  clients: [web1],
  events: [{ at: ago(0.1), kind, client: 'web1', what: `what ${kind} tells` }],
});

const table: readonly (readonly [id: string, facts: Partial<FactValues>, level: string, words: string])[] = [
  ['store-away', { store: { away: 'no store at /byteback' } }, 'critical', 'no store at /byteback'],
  ['store-read-only', { mount: { readOnly: true } }, 'critical', 'nothing can be written'],
  [
    'disk-missing',
    {
      disks: [
        { id: '1', missing: false, errors: {} },
        { id: '2', missing: true, errors: {} },
      ],
    },
    'critical',
    '1 of the 2 disks of the store is missing',
  ],
  ['disk-errors', { disks: [{ id: '2', missing: false, errors: { read_errs: 7680 } }] }, 'critical', '7680 read'],
  ['quota-inconsistent', { quota: { inconsistent: true } }, 'warning', 'quotas of the store are inconsistent'],
  [
    'scrub-overdue',
    { scrub: { at: null, storeMadeAt: ago(60), damagedFiles: 0, unplaced: 0 } },
    'warning',
    'never scrubbed, and is 60 days old',
  ],
  [
    'damaged-files',
    { scrub: { at: ago(1), storeMadeAt: ago(60), damagedFiles: 2, unplaced: 1 } },
    'critical',
    '2 files of clients, and 1 errors elsewhere',
  ],
  [
    'store-short',
    { space: { ...healthyStore, state: 'short', inWords: 'all of its history is protected' } },
    'critical',
    'all of its history is protected',
  ],
  ['config-bad', { config: { problem: 'server.toml:7: no', strangers: [] } }, 'critical', 'server.toml:7: no'],
  ['config-strangers', { config: { problem: null, strangers: ['wbe1'] } }, 'warning', 'do not exist: wbe1'],
  ['clock-refused', { clock: { refusal: 'the clock says 2031', future: [] } }, 'critical', 'the clock says 2031'],
  [
    'future-snapshots',
    { clock: { refusal: 'x', future: [{ client: 'web1', snapshots: ['2031-01-01T000000Z'] }] } },
    'critical',
    '1 snapshots bear a time to come (web1)',
  ],
  ['prune-idle', { pruning: { lastAt: ago(5) } }, 'warning', 'by a prune for 5 days'],
  [
    'post-stuck',
    { post: { waiting: 3, oldestAt: ago(1), lastError: 'connection refused' } },
    'warning',
    '3 mails or calls do not go out: connection refused',
  ],
  ['state-missing', { state: { missing: ['holds.json: it is gone'], putAside: [] } }, 'critical', 'holds.json'],
  ['state-damaged', { state: { missing: [], putAside: ['x.damaged-2026'] } }, 'warning', 'x.damaged-2026'],
  ['client-without-place', { places: { missing: ['web1'], registered: 2 } }, 'critical', 'no place in the store'],
  [
    'client-without-place',
    { places: { missing: ['web1', 'web2'], registered: 2 } },
    'critical',
    'none of the 2 registered clients',
  ],
  ['never-sent', client({ overdue: true, newest: null }), 'warning', 'has never sent anything'],
  ['overdue', client({ overdue: true, newest: { ...web1.newest, at: ago(9) } }), 'critical', 'no backup for 9 days'],
  ['pruning-paused', client({ pruningPaused: 'deletes all' }), 'critical', 'pruning is paused: deletes all'],
  [
    'growth-refused',
    client({ holds: [{ snapshot: 'x', reason: '20 times larger', since: ago(1), by: 'growth-guard' }] }),
    'warning',
    'a backup was refused: 20 times larger',
  ],
  ['bitrot', event('bitrot'), 'critical', 'what bitrot tells'],
  ['drill', event('drill'), 'critical', 'what drill tells'],
  ['clock', event('clock'), 'warning', 'what clock tells'],
  ['pruning-in-vain', event('pruning-in-vain'), 'critical', 'what pruning-in-vain tells'],
  ['pruning-waits', event('pruning-waits'), 'warning', 'what pruning-waits tells'],
  ['empty', event('empty'), 'warning', 'what empty tells'],
  ['run-failed', event('run-failed'), 'warning', 'what run-failed tells'],
  ['hook', event('hook'), 'warning', 'what hook tells'],
  ['state', event('state'), 'critical', 'what state tells'],
];

test('every check of the list has a row', () => {
  const rows = new Set([...table.map(([id]) => id), 'unreadable']);
  expect(healthChecks.map(({ id }) => id).toSorted()).toEqual([...rows].toSorted());
});

test('of a healthy server nothing is told', () => {
  expect(healthOf(healthyFacts({ clients: [web1] }), now)).toEqual([]);
});

test.each(table)('%s fires in all six', (id, changed, level, words) => {
  requireInAllSix(healthyFacts(changed), { id, level, words });
});

test.each(Object.keys(healthyFacts()) as (keyof FactValues)[])('a fact that cannot be read: %s', (name) => {
  const facts = { ...healthyFacts(), [name]: { unreadable: 'EIO' } };
  const vital = ['store', 'mount', 'space', 'clients'].includes(name);
  requireInAllSix(facts, { id: 'unreadable', level: vital ? 'critical' : 'warning', words: ': EIO' });
});

function requireInAllSix(facts: HealthFacts, expected: { id: string; level: string; words: string }): void {
  const { id, level, words } = expected;
  const health = healthOf(facts, now);
  const mine = health.filter((finding) => finding.id === id);
  expect(mine, `${id} is found`).not.toEqual([]);
  const [finding] = mine;
  if (finding === undefined) return;
  expect(finding).toMatchObject({ level, what: expect.stringContaining(words) });

  const status: ServerStatus = {
    at: new Date(now).toISOString(),
    store: 'value' in facts.space ? facts.space.value : { ...healthyStore, state: 'away' },
    clients: 'value' in facts.clients ? facts.clients.value : [],
    alerts: mine.map(alertOf),
  };
  expect(verdictOf(finding), 'doctor').toMatchObject({
    state: level === 'critical' ? 'failure' : 'warning',
    what: expect.stringContaining(words),
  });
  expect(serverText(status, Number.POSITIVE_INFINITY), 'status').toContain(words);
  expect(checkServer(status), '--check').toMatchObject({ state: level, line: expect.stringContaining(words) });
  expect(metricsText(status, { version: '1' }), 'metrics').toContain(
    `byteback_finding{check="${id}",severity="${level}"} ${mine.length}\n`,
  );
  const model = exampleFleet(now);
  expect(renderPage({ ...model, status }), 'page').toContain(words);
  // What an event tells is mailed as that event; all else becomes one.
  const { events } = newFindings(mine, {}, new Date(now));
  const told = events.length > 0 ? events : mine.map(({ what }) => ({ at: ago(0), kind: id, what }));
  expect(events.length === 0, 'told by an event').toBe(finding.isTold === true);
  const { subject, text } = alertMail(told, { server: 'vault' });
  expect(`${subject} ${text.replaceAll(/\s+/g, ' ')}`, 'mail').toContain(words);
}

test('a finding is mailed once, again after a week, and anew when it came back', () => {
  const findings = [{ id: 'disk-missing', level: 'critical', what: 'a disk is missing' }] as const;
  const at = (days: number) => new Date(now + days * 86_400_000);
  const first = newFindings(findings, {}, at(0));
  expect(first.events).toMatchObject([{ kind: 'health', check: 'disk-missing', what: 'a disk is missing' }]);
  const later = newFindings(findings, first.told, at(3));
  expect(later.events).toEqual([]);
  expect(newFindings(findings, later.told, at(8)).events).toHaveLength(1);
  const gone = newFindings([], later.told, at(4));
  expect(newFindings(findings, gone.told, at(5)).events).toHaveLength(1);
});
