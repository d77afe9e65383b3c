/** The facts of a server on which all is well, for tests that change one of them. */
import type { Alert, ClientStatus, StoreStatus } from '../../src/report/fleet.ts';
import { alertOf, healthOf } from '../../src/server/health/checks.ts';
import type { FactValues, HealthFacts } from '../../src/server/health/facts.ts';

export const healthyStore: StoreStatus = {
  path: '/byteback',
  totalBytes: 1e12,
  freeBytes: 5e11,
  pruneBelowPercent: 5,
  pruneUntilPercent: 10,
  historyBytes: 1e11,
  nextRunsBytes: 1e9,
  nextRunsFit: true,
  state: 'filling',
  inWords: 'filling with history: 50 % used, nothing had to go yet, next backups fit',
  forecastBytes: 1e11,
};

export function healthyFacts(changed: Partial<FactValues> = {}): HealthFacts {
  const values: FactValues = {
    config: { problem: null, strangers: [] },
    store: { away: null },
    mount: { readOnly: false },
    disks: [{ id: '1', missing: false, errors: {} }],
    quota: { inconsistent: false },
    scrub: { at: null, storeMadeAt: null, damagedFiles: 0, unplaced: 0 },
    space: healthyStore,
    clients: [],
    places: { missing: [], registered: 0 },
    clock: { refusal: null, future: [] },
    pruning: { lastAt: null },
    events: [],
    post: { waiting: 0, oldestAt: null },
    state: { missing: [], putAside: [] },
    ...changed,
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }])) as unknown as HealthFacts;
}

/** What there is to look at, by the store, the clients and what happened alone. */
export function alertsOf(
  told: { store: StoreStatus; clients: readonly ClientStatus[]; events: FactValues['events'] },
  nowMs: number,
): Alert[] {
  return healthOf(healthyFacts({ space: told.store, clients: told.clients, events: told.events }), nowMs).map(alertOf);
}
