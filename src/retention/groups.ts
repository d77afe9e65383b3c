import { planDeletions } from './plan.ts';
import type { Aim, Decision, StoreState } from './types.ts';

/** So many at most are deleted before the disk is asked what that gave. */
const largestGroup = 8;

/**
 * The first few deletions of a plan: as many as are expected to free half of what is missing. What deletions free is
 * only known afterwards, so the rest is planned anew with what the disk says.
 */
export function firstGroup(pruned: readonly Decision[], missingBytes: number): Decision[] {
  const group: Decision[] = [];
  let frees = 0;
  for (const decision of pruned) {
    group.push(decision);
    frees += decision.freesBytes;
    if (group.length >= largestGroup || frees * 2 >= missingBytes) break;
  }
  return group;
}

/**
 * Plans and yields group after group until the aim is reached or nothing may go. The caller deletes each group, waits
 * for the space, and records what the disk says before it asks for the next: `look` must then give the new state.
 * @returns why the aim is not reached, or undefined when it is.
 */
export function* pruneInGroups(look: () => StoreState, aim: Aim): Generator<Decision[], string | undefined, void> {
  for (;;) {
    const state = look();
    const { pruned, shortfall } = planDeletions(state, aim);
    if (pruned.length === 0) return shortfall;
    yield firstGroup(
      pruned,
      Math.max(0, aim.freeBytes - state.freeBytes, (aim.demand?.freeBytes ?? 0) - state.freeBytes),
    );
  }
}

/** Divides what a group freed among its deletions, in proportion to what each was expected to free. */
export function divideFreed(group: readonly Decision[], freedBytes: number): number[] {
  const expected = group.reduce((sum, { freesBytes }) => sum + freesBytes, 0);
  return group.map(({ freesBytes }) =>
    expected > 0 ? (freedBytes * freesBytes) / expected : freedBytes / group.length,
  );
}
