import type { Verdict } from '../../findings.ts';
import type { Alert } from '../../report/fleet.ts';
import type { Found, HealthCheck, HealthFinding } from './check.ts';
import { clientChecks } from './checks-of-clients.ts';
import { storeChecks } from './checks-of-store.ts';
import { workChecks } from './checks-of-work.ts';
import { type FactName, factWords, type HealthFacts } from './facts.ts';

/**
 * The health of a server: one list of checks, which doctor, status, `status --check`, the metrics, the page and the mails all
 * read. To add a check:
 *
 * 1. If it needs a fact that nobody looks up yet: declare it in `facts.ts`, and look it up in `collect.ts`.
 * 2. Write the check into one of the `checks-of-*.ts`: `check('id', 'fact', (value, { nowMs }) => [...])`. It is pure.
 * 3. Add a row to the table in `checks.test.ts`; that table proves that it fires in all six outputs.
 *
 * Nothing else has to be touched.
 */

/** Without these nothing can be said to be safe. */
const vital: ReadonlySet<FactName> = new Set(['store', 'mount', 'space', 'clients']);

const unreadableFacts: HealthCheck = {
  id: 'unreadable',
  find: (facts) =>
    (Object.keys(factWords) as FactName[]).flatMap((name): Found[] => {
      const fact = facts[name];
      if (!('unreadable' in fact)) return [];
      const level = vital.has(name) ? 'critical' : 'warning';
      return [{ level, what: `cannot tell ${factWords[name]}: ${fact.unreadable}`, fix: 'byteback doctor' }];
    }),
};

export const healthChecks: readonly HealthCheck[] = [...storeChecks, ...workChecks, ...clientChecks, unreadableFacts];

/** All that somebody should look at, the critical first. Pure. */
export function healthOf(facts: HealthFacts, nowMs: number): HealthFinding[] {
  const findings = healthChecks.flatMap(({ id, find }) => find(facts, nowMs).map((found) => ({ id, ...found })));
  const rank = ({ level }: Found) => (level === 'critical' ? 0 : 1);
  return findings.toSorted((a, b) => rank(a) - rank(b));
}

/** A finding as doctor tells it: what is critical keeps byteback from working. */
export function verdictOf({ level, client, what, fix }: HealthFinding): Verdict {
  return {
    state: level === 'critical' ? 'failure' : 'warning',
    what: client === undefined ? what : `${client}: ${what}`,
    ...(fix === undefined ? {} : { fix }),
  };
}

/** A finding as status, metrics and page show it. */
export function alertOf({ id, level, client, what, fix }: HealthFinding): Alert {
  return { id, level, client: client ?? null, what, fix: fix ?? null };
}
