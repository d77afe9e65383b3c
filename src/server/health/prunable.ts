import type { ServerConfig } from '../../config/server-config.ts';
import type { ClientName } from '../../protocol/names.ts';
import { parseKeepRule } from '../../retention/keep.ts';
import { planDeletions } from '../../retention/plan.ts';
import type { Holds } from '../holds.ts';
import type { Ledger } from '../ledger.ts';

/** What pruning may free in all, by the ledger: everything that nothing protects. Nothing is measured. Pure. */
export function prunableBytes(ledger: Ledger, holds: Holds, config: ServerConfig, nowMs: number): number {
  const clients = Object.entries(ledger.clients).map(([name, { history }]) => {
    const { weight, keep, maxAgeMs } = config.policyOf(name as ClientName);
    const paused = holds.paused.find(({ client }) => client === name);
    return {
      name,
      policy: {
        weight,
        keepLast: config.prune.keepLast,
        ...(keep === undefined ? {} : { keep: parseKeepRule(keep) }),
        ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
      },
      snapshots: history.entries,
      middleYield: history.middleYield,
      ...(paused === undefined ? {} : { paused: paused.reason }),
    };
  });
  const held = holds.holds.map(({ client, snapshot, reason }) => ({ client, name: snapshot, reason }));
  const state = { now: nowMs, freeBytes: 0, clients, holds: held };
  return planDeletions(state, { freeBytes: Number.POSITIVE_INFINITY, order: 'importance' }).freeBytes;
}
