import type { ClientName } from '../../protocol/names.ts';
import { helpsNoMore, type Yield } from '../../retention/helped.ts';
import { recordDeletion } from '../../retention/history.ts';
import { pruneStepByStep } from '../../retention/steps.ts';
import type { Aim, Decision } from '../../retention/types.ts';
import { isRootsSubvolume } from '../../system/btrfs.ts';
import { openSimpleQuota } from '../../system/btrfs-quota.ts';
import { recordEvent } from '../events.ts';
import { appendToLedger, ledgerClient, type Standstill, writeLedger } from '../ledger.ts';
import { findReadings } from '../reading.ts';
import { findTransfers } from '../status-running.ts';
import type { Store } from '../store.ts';
import type { StoredSnapshot } from './contents.ts';
import { deleteSnapshot } from './delete.ts';
import { findHolders, holdersInWords } from './holders.ts';
import type { Seen } from './look.ts';
import { freeDataChunks, keepReserve, readStoreSpace } from './reserve.ts';
import type { Space } from './space.ts';
import { findStandstill, type Probes } from './standstill.ts';
import type { Deletion, PruneDeps } from './types.ts';
import { inBytes, inPercent, tellShort } from './words.ts';

/** What was done. */
interface Done {
  readonly deleted: Deletion[];
  readonly space: Space;
  /** Why there is still too little, when there is. */
  readonly why?: string;
}

/** While metadata are short, data chunks are moved together after so many deletions. */
const deletionsPerMove = 4;
/** With room for data, no more than this are deleted for metadata alone: history is not thrown after what does not help. */
const mostForMetadata = 12;

/** Deletes one snapshot after the other, and looks at the disk after each, until there is enough or nothing more may go. */
export async function carryOut(seen: Seen, aim: Aim, deps: PruneDeps): Promise<Done> {
  const { store, log, config } = deps;
  const deleted: Deletion[] = [];
  const measure = async () => {
    seen.space = await readStoreSpace(store, config.prune.startPercent);
    return seen.space;
  };
  if (seen.space.metadataShort) {
    // Data may have room that metadata have not: no snapshot has to go for what moving chunks may give.
    await freeDataChunks(store, log, async () => !(await measure()).metadataShort);
    await keepReserve(store, seen.space, log);
    await measure();
  }
  let sinceMoved = 0;
  const yields: Yield[] = [];
  const probes: Probes = new Map();
  const steps = pruneStepByStep(() => seen.state(), aim);
  for (;;) {
    // Deleting takes its time: somebody may have begun to read meanwhile.
    seen.readings = await findReadings(store, seen.contents.keys(), deps.clock.now(), { record: true });
    const { value, done } = steps.next();
    if (done === true) {
      const why = tellShort(value?.shortfall, value?.reachableBytes);
      return { deleted, space: seen.space, ...(why === undefined ? {} : { why }) };
    }
    const outcome = await deleteOne(value, seen, aim, deps);
    if (outcome === undefined) continue;
    deleted.push(outcome.deletion);
    await writeLedger(store, seen.ledger, log);
    sinceMoved += 1;
    if (seen.space.metadataShort && sinceMoved % deletionsPerMove === 0) {
      // What was deleted made room in data chunks, which moving needs: now it may work.
      await freeDataChunks(store, log, async () => !(await measure()).metadataShort);
      await keepReserve(store, seen.space, log);
      await measure();
      if (seen.space.metadataShort && seen.space.dataFreeBytes >= aim.freeBytes && deleted.length >= mostForMetadata) {
        const why = `metadata are short (${seen.space.metadataFreePercent.toFixed(1)} % free), data are not, and deleting snapshots does not help; the disk must be enlarged, or files in it that are not byteback's removed`;
        return { deleted, space: seen.space, why };
      }
    }
    yields.push(outcome.gave);
    const { client } = outcome.deletion;
    if (helpsNoMore(yields)) {
      const around = { ...deps, ...seen, freeBytes: seen.space.freeBytes, now: deps.clock.now() };
      const standstill = await findStandstill(client, yields, around, probes);
      if (standstill !== undefined) {
        await standStill(standstill, seen, deps);
        return { deleted, space: seen.space, why: standstill.why };
      }
    }
    if (!outcome.spaceIsBack) {
      const why = 'the space of what was deleted has not come back yet; nothing more is deleted until it has';
      return { deleted, space: seen.space, why };
    }
  }
}

/** Has the admin hear that pruning stops, and remembers it: the next prune begins there. */
async function standStill(standstill: Standstill, { ledger, space, holds }: Seen, { store, log, clock }: PruneDeps) {
  ledger.standstill = standstill;
  await writeLedger(store, ledger, log);
  const at = clock.now().toISOString();
  await appendToLedger(store, [{ at, event: 'standstill', client: standstill.client, why: standstill.why }], log);
  const usedBytes = space.totalBytes - space.dataFreeBytes;
  const holders = holdersInWords(await findHolders(store, { ledger, holds, usedBytes }));
  await recordEvent(store, {
    at,
    kind: 'pruning-in-vain',
    what: 'pruning stopped: what it deletes frees nothing',
    why: `${standstill.why}; ${holders}`,
  });
}

/** Deletes one snapshot, waits for its space, and says before and after what it does and why. */
async function deleteOne(decision: Decision, seen: Seen, aim: Aim, { store, log, clock, config }: PruneDeps) {
  const { client, reason } = decision;
  const { name: snapshot } = decision.snapshot;
  const expectedBytes = Math.round(decision.freesBytes);
  log.step(`pruning ${client} ${snapshot}: ${reason}; expected to free ${inBytes(expectedBytes)}`);
  const at = clock.now().toISOString();
  await appendToLedger(store, [{ at, event: 'pruning', client, snapshot, why: reason, expectedBytes }], log);

  const charge = await chargeOf(store, client);
  const wroteBefore = await othersWrote(store);
  const { failed, spaceIsBack } = await deleteSnapshot(store, findStored(seen, client, snapshot), log);
  if (failed !== undefined) {
    log.warn(`cannot delete ${client} ${snapshot}: ${failed}`);
    seen.stuck.push({ client, name: snapshot, reason: `cannot be deleted: ${failed}` });
    return undefined;
  }
  const before = seen.space;
  const after = await readStoreSpace(store, config.prune.startPercent);
  seen.space = after;
  const chargedLess = await charge?.();
  const freedBytes = Math.max(0, chargedLess ?? after.dataFreeBytes - before.dataFreeBytes);
  const its = ledgerClient(seen.ledger, client);
  recordDeletion(its.history, snapshot, freedBytes);
  if (its.chargedBytes !== undefined) its.chargedBytes -= chargedLess ?? 0;
  await appendToLedger(store, [{ at: clock.now().toISOString(), event: 'pruned', client, snapshot, freedBytes }], log);
  const free = `${inBytes(after.freeBytes)} free (${inPercent(after.freeBytes, after.totalBytes)})`;
  log.step(`pruned ${client} ${snapshot}: freed ${inBytes(freedBytes)}; ${free}`);
  if (aim.demand !== undefined || decision.spared === true) {
    const forWhom = aim.demand === undefined ? 'the store' : `a run of ${aim.demand.client}`;
    const what = `snapshot ${snapshot} of ${client} was deleted to make room for ${forWhom}`;
    await recordEvent(store, { at: clock.now().toISOString(), kind: 'pruned-for-room', client, what, why: reason });
  }
  // What came in meanwhile hides what was freed.
  const wroteBytes = chargedLess === undefined ? Math.max(0, (await othersWrote(store)) - wroteBefore) : 0;
  const gave = { expectedBytes, freedBytes: freedBytes + wroteBytes };
  return { deletion: { client, snapshot, reason, freedBytes, freeBytes: after.freeBytes }, gave, spaceIsBack };
}

/**
 * On a store with simple quotas: how much less a client is charged than at the time of the call, in bytes. What others
 * write and free meanwhile does not blur it, as it does the free space of the disk.
 */
async function chargeOf(store: Store, client: string): Promise<(() => Promise<number>) | undefined> {
  const quota = await openSimpleQuota(store.root);
  const current = store.currentDir(client as ClientName);
  // Snapshots of the original byteback were not made from it.
  if (quota === undefined || !(await isRootsSubvolume(current).catch(() => false))) return undefined;
  const before = await quota.chargedBytes(current);
  return async () => before - (await quota.chargedBytes(current));
}

/** What the runs that are under way have written so far, in bytes. */
async function othersWrote(store: Store): Promise<number> {
  const transfers = await findTransfers(store).catch(() => []);
  return transfers.reduce((sum, { kind, doneBytes }) => sum + (kind === 'backup' ? doneBytes : 0), 0);
}

function findStored(seen: Seen, client: string, name: string): StoredSnapshot | undefined {
  return seen.contents.get(client as ClientName)?.find((snapshot) => snapshot.name === name);
}
