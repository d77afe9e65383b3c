import { divideFreed, pruneInGroups } from '../../retention/groups.ts';
import { recordDeletion } from '../../retention/history.ts';
import type { Aim, Decision } from '../../retention/types.ts';
import { appendToLedger, type LedgerLine, writeLedger } from '../ledger.ts';
import type { StoredSnapshot } from './contents.ts';
import { deleteSnapshots } from './delete.ts';
import type { Seen } from './look.ts';
import type { Deletion, PruneDeps } from './prune.ts';
import { freeDataChunks } from './reserve.ts';
import { readSpace, type Space } from './space.ts';
import { inBytes, inPercent } from './words.ts';

/** What was done. */
interface Done {
  readonly deleted: Deletion[];
  readonly space: Space;
  /** Why there is still too little, when there is. */
  readonly why?: string;
}

/** Deletes group after group, and looks at the disk after each, until there is enough or nothing more may go. */
export async function carryOut(seen: Seen, aim: Aim, deps: PruneDeps): Promise<Done> {
  const { store, log, config } = deps;
  const deleted: Deletion[] = [];
  const measure = async () => {
    seen.space = await readSpace(store.root, config.prune.startPercent);
    return seen.space;
  };
  if (seen.space.freeBytes < seen.space.dataFreeBytes) {
    // Data have room, metadata have not: no snapshot has to go for what moving chunks may give.
    const moved = await freeDataChunks(store, log, async () => (await measure()).freeBytes >= aim.freeBytes);
    if (moved) return { deleted, space: seen.space };
  }
  const groups = pruneInGroups(() => seen.state(), aim);
  for (;;) {
    const { value, done } = groups.next();
    if (done === true) return { deleted, space: seen.space, ...(value === undefined ? {} : { why: value }) };
    const before = seen.space;
    const { outcome, gone, stored } = await deleteGroup(value, seen, deps);
    const after = await measure();
    const freed = divideFreed(gone, Math.max(0, after.dataFreeBytes - before.dataFreeBytes));
    const lines: LedgerLine[] = [];
    for (const [index, { client, snapshot, reason }] of gone.entries()) {
      const freedBytes = Math.round(freed[index] ?? 0);
      deleted.push({ client, snapshot: snapshot.name, reason, freedBytes });
      recordDeletion(seen.ledger.clients[client]?.history ?? raiseUnknown(client), snapshot.name, freedBytes);
      lines.push({ at: deps.clock.now().toISOString(), event: 'pruned', client, snapshot: snapshot.name, freedBytes });
      log.step(
        `pruned ${client} ${snapshot.name}: freed ${inBytes(freedBytes)}; ${inBytes(after.freeBytes)} free (${inPercent(after.freeBytes, after.totalBytes)})`,
      );
    }
    for (const [index, snapshot] of stored.entries()) {
      const why = snapshot === undefined ? 'it is not on the disk' : outcome.failed.get(snapshot);
      const decision = value[index] as Decision;
      if (why === undefined) continue;
      log.warn(`cannot delete ${decision.client} ${decision.snapshot.name}: ${why}`);
      seen.stuck.push({ client: decision.client, name: decision.snapshot.name, reason: `cannot be deleted: ${why}` });
    }
    await appendToLedger(store, lines, log);
    await writeLedger(store, seen.ledger, log);
    if (!outcome.spaceIsBack) {
      return {
        deleted,
        space: after,
        why: 'the space of what was deleted has not come back yet; nothing more is deleted until it has',
      };
    }
  }
}

async function deleteGroup(group: readonly Decision[], seen: Seen, { store, log, clock }: PruneDeps) {
  const at = clock.now().toISOString();
  const stored = group.map(({ client, snapshot }) => findStored(seen, client, snapshot.name));
  const lines: LedgerLine[] = [];
  for (const { client, snapshot, reason, freesBytes } of group) {
    log.step(`pruning ${client} ${snapshot.name}: ${reason}; expected to free ${inBytes(freesBytes)}`);
    lines.push({
      at,
      event: 'pruning',
      client,
      snapshot: snapshot.name,
      why: reason,
      expectedBytes: Math.round(freesBytes),
    });
  }
  await appendToLedger(store, lines, log);
  const outcome = await deleteSnapshots(
    store,
    stored.filter((snapshot) => snapshot !== undefined),
    log,
  );
  const gone = group.filter((_, index) => {
    const snapshot = stored[index];
    return snapshot !== undefined && !outcome.failed.has(snapshot);
  });
  return { outcome, gone, stored };
}

function findStored(seen: Seen, client: string, name: string): StoredSnapshot | undefined {
  for (const [itsClient, snapshots] of seen.contents) {
    if (itsClient === client) return snapshots.find((snapshot) => snapshot.name === name);
  }
  return undefined;
}

function raiseUnknown(client: string): never {
  throw new RangeError(`${client} is not in the ledger`);
}
