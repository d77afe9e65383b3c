import type { ClientName, SnapshotName } from '../../protocol/names.ts';
import { lookAtReadings } from '../reading.ts';
import type { Store } from '../store.ts';
import { tellRoot } from './root-helper.ts';

/** A session is told of when it has lasted this long, or when it ends: root's helper does not start beside the program. */
const firstMs = 500;
/** And again in such steps, for as long as it lasts: well within the time that the record holds on. */
const againMs = 10 * 60_000;
/** A record that is younger says enough: a restore has several sessions. */
const freshMs = 5 * 60_000;

/**
 * Reads something of snapshots, and has root's helper record it, so that they are pruned last. Nothing waits for that, and that it
 * fails is no reason not to read: what runs at the moment is seen by the pruner anyway.
 */
export async function reading<T>(
  store: Store,
  client: ClientName,
  snapshots: readonly SnapshotName[],
  work: () => Promise<T>,
): Promise<T> {
  let isTold = false;
  const tell = () => {
    isTold = true;
    tellIt(store, client, snapshots).catch(() => undefined);
  };
  const first = setTimeout(tell, firstMs);
  const again = setInterval(tell, againMs);
  try {
    return await work();
  } finally {
    clearTimeout(first);
    clearInterval(again);
    if (!isTold) tell();
  }
}

async function tellIt(store: Store, client: ClientName, snapshots: readonly SnapshotName[]): Promise<void> {
  const known = await lookAtReadings(store, client);
  const now = Date.now();
  const isFresh = (snapshot: SnapshotName) =>
    known.some(({ name, last }) => name === snapshot && last <= now && last > now - freshMs);
  for (const snapshot of snapshots) if (!isFresh(snapshot)) tellRoot({ verb: 'reading', client, snapshot });
}
