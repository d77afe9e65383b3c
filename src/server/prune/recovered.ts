import { join } from 'node:path';
import { reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { whyDestructive } from '../../retention/guards.ts';
import { bytesWrittenSince, generationOf } from '../../system/btrfs/written.ts';
import type { Log } from '../../system/log.ts';
import { readHolds } from '../holds.ts';
import type { Store } from '../store.ts';
import type { StoredSnapshot } from './contents.ts';
import { type Disaster, readRunOf } from './observe.ts';

/** A client whose tree is again what it was before a run that looked like a disaster. */
export interface Recovered {
  readonly client: ClientName;
  /** The snapshot that was held for it. */
  readonly lastGood: string;
}

/** One client is measured for this long at most. */
const measureMs = 60_000;

/**
 * Finds the paused clients whose newest run shows that nothing is lost: measured against the held snapshot, no half of the files or
 * data is missing, and no half was written anew since, on the disk. Whoever deletes all and sends it again stays paused.
 * @param ran clients with a new run
 * @param disasters what was found in these runs
 */
export async function findRecovered({
  store,
  contents,
  ran,
  disasters,
  log,
}: {
  readonly store: Store;
  readonly contents: ReadonlyMap<ClientName, readonly StoredSnapshot[]>;
  readonly ran: readonly string[];
  readonly disasters: readonly Disaster[];
  readonly log: Log;
}): Promise<Recovered[]> {
  const { paused, holds } = await readHolds(store);
  const recovered: Recovered[] = [];
  for (const { client } of paused) {
    if (!ran.includes(client) || disasters.some((disaster) => disaster.client === client)) continue;
    const lastGood = holds.find((hold) => hold.client === client && hold.by === 'destruction-guard')?.snapshot;
    const snapshots = contents.get(client) ?? [];
    const [held, newest] = [snapshots.find(({ name }) => name === lastGood), snapshots.at(-1)];
    if (held === undefined || newest === undefined || newest.time <= held.time) continue;
    if (await isRecovered(held, newest, log)) recovered.push({ client, lastGood: held.name });
  }
  return recovered;
}

async function isRecovered(held: StoredSnapshot, newest: StoredSnapshot, log: Log): Promise<boolean> {
  const [before, now] = [await readRunOf(held, log), await readRunOf(newest, log)];
  if (before?.figures === undefined || now?.figures === undefined) return false;
  if (before.whole === false || now.whole === false) return false;
  try {
    const generation = await generationOf(join(held.directory, held.name));
    const written = await bytesWrittenSince(join(newest.directory, newest.name), generation, measureMs);
    if (written === undefined) return false;
    const change = {
      filesBefore: before.figures.files,
      filesNow: now.figures.files,
      bytesBefore: before.figures.totalBytes,
      bytesNow: now.figures.totalBytes,
      sentBytes: written.bytes,
      // However long ago: what was lost then is lost still.
      elapsedMs: 0,
    };
    return whyDestructive(change) === undefined;
  } catch (error) {
    log.info(`cannot measure what ${newest.client} wrote since ${held.name}: ${reasonOf(error)}`);
    return false;
  }
}
