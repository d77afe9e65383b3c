import type { Alert } from '../../report/fleet.ts';
import type { FactName, FactValues, HealthFacts } from './facts.ts';

/** What a check found. */
export interface Found {
  readonly level: Alert['level'];
  readonly client?: string;
  readonly what: string;
  /** What to do next; a command where there is one. */
  readonly fix?: string;
  /** True when an event tells it already, so that no second mail goes out for it. */
  readonly isTold?: boolean;
}

/** A finding: what was found, and the check that found it. */
export interface HealthFinding extends Found {
  readonly id: string;
}

export interface HealthCheck {
  /** Stays the same for ever: monitors go by it. */
  readonly id: string;
  readonly find: (facts: HealthFacts, nowMs: number) => readonly Found[];
}

/** A check of one fact; it finds nothing while the fact cannot be read, which is a finding already. */
export function check<Name extends FactName>(
  id: string,
  fact: Name,
  find: (value: FactValues[Name], about: { readonly nowMs: number; readonly facts: HealthFacts }) => readonly Found[],
): HealthCheck {
  return {
    id,
    find: (facts, nowMs) => {
      const read = facts[fact];
      return 'value' in read ? find(read.value as FactValues[Name], { nowMs, facts }) : [];
    },
  };
}
