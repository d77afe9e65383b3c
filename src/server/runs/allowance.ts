import type { ClientName } from '../../protocol/names.ts';
import { freeSpace } from '../../system/btrfs.ts';
import { openSimpleQuota } from '../../system/btrfs-quota.ts';
import type { Admitted } from '../prune/admit.ts';
import type { Store } from '../store.ts';
import { reserveBytes } from './space.ts';

/** What deleting files, metadata and root's own records need, in bytes: a client at its limit must be able to shrink. */
const slackBytes = 16 * 1024 * 1024;

type Allowed = Pick<Admitted, 'limitBytes' | 'floorBytes'>;

/**
 * How much a run may add, in bytes: as long as space is not short any amount; below that no more than its own limit;
 * never into the reserve.
 */
export function allowanceBytes(
  { limitBytes, floorBytes }: Allowed,
  space: { readonly freeBytes: number; readonly totalBytes: number },
): number {
  const room = Math.max(0, space.freeBytes - reserveBytes(space.totalBytes));
  if (limitBytes === null) return room;
  return Math.floor(Math.max(Math.min(limitBytes, room), space.freeBytes - floorBytes, 0));
}

/**
 * Sets what the kernel lets a client write in this run; does nothing on a store without simple quotas.
 * @returns what the client is charged now, in bytes.
 */
export async function setAllowance(
  store: Store,
  client: ClientName,
  held: Allowed & { readonly chargedBytes?: number | undefined },
): Promise<number | undefined> {
  const quota = await openSimpleQuota(store.root);
  if (quota === undefined) return undefined;
  const current = store.currentDir(client);
  const charged = await quota.chargedBytes(current);
  // What the run has written already counts against its own limit.
  const written = Math.max(0, charged - (held.chargedBytes ?? charged));
  const left = { ...held, limitBytes: held.limitBytes === null ? null : Math.max(0, held.limitBytes - written) };
  await quota.limit(current, charged + allowanceBytes(left, await freeSpace(store.root)) + slackBytes);
  return charged;
}

/** The run is over: what root writes then, and what is deleted, is nobody's flood. */
export async function liftAllowance(store: Store, client: ClientName): Promise<void> {
  const quota = await openSimpleQuota(store.root);
  await quota?.limit(store.currentDir(client), undefined);
}

/**
 * Does what root has to write into a `current` that may be at its limit. Whoever calls holds the client's lock, so that
 * nobody else writes there meanwhile.
 */
export async function withoutAllowance(store: Store, client: ClientName, action: () => Promise<void>): Promise<void> {
  const quota = await openSimpleQuota(store.root);
  const current = store.currentDir(client);
  const limitBytes = await quota?.limitBytes(current);
  if (quota === undefined || limitBytes === undefined) return action();
  await quota.limit(current, undefined);
  try {
    await action();
  } finally {
    await quota.limit(current, limitBytes);
  }
}
