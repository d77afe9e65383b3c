import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { type ClientName, parseSnapshotName, type SnapshotName } from '../protocol/names.ts';
import { noteReading, type Reading, standingOf } from '../retention/reading.ts';
import { writeFileAtomically } from '../system/files.ts';
import { patientLock } from '../system/lock.ts';
import { readStateFile } from '../system/state-file.ts';
import { putStateAside } from './state-files.ts';
import { ageOf, isChildOfBwrap, jailedDirectories, runningJails } from './status-running.ts';
import { clientExists, listSnapshotNames, requireRootsDirectory, type Store } from './store.ts';

/**
 * Which snapshots of a client are being read: `clients/NAME/reading.json`, root's. The user that receives may look at it, and has
 * root's helper write it. What is read at this moment the table of processes shows as well; the record holds on when a connection is
 * lost, a process killed, or the server started anew.
 */
const ReadingFileSchema = v.object({
  format: v.literal(1),
  snapshots: v.array(v.object({ name: v.string(), since: v.number(), last: v.number() })),
});

/** Reads what is recorded, as whoever may look; nothing where it cannot be read. */
export async function lookAtReadings(store: Store, client: ClientName): Promise<readonly Reading[]> {
  const read = await readStateFile(store.readingFile(client), ReadingFileSchema, 1).catch(() => undefined);
  return read?.kind === 'ok' ? read.value.snapshots : [];
}

/** The same for root: a record that is damaged is put aside, and the admin hears of it. */
async function readReadings(store: Store, client: ClientName, now: Date): Promise<readonly Reading[]> {
  const path = store.readingFile(client);
  const read = await readStateFile(path, ReadingFileSchema, 1);
  if (read.kind === 'ok') return read.value.snapshots;
  if (read.kind !== 'gone') await putStateAside(store, path, read.why, now);
  return [];
}

/** A record that is younger says enough: it need not be written anew. */
const freshMs = 60_000;

/**
 * Records that snapshots of a client are being read; what is no snapshot of it is passed over. Needs root.
 * @param reads with the time at which it began, where that is known
 */
export async function recordReadings(
  store: Store,
  client: ClientName,
  reads: readonly { readonly name: string; readonly since?: number }[],
  now: Date,
): Promise<void> {
  if (!(await clientExists(store, client))) return;
  const directory = store.clientDir(client);
  await requireRootsDirectory(directory);
  const nowMs = now.getTime();
  const lock = await patientLock(join(store.stateDir, 'reading.lock'));
  try {
    const names: readonly string[] = await listSnapshotNames(store, client);
    const known = await readReadings(store, client, now);
    const isFresh = ({ name }: { name: string }) =>
      known.some((each) => each.name === name && each.last <= nowMs && each.last > nowMs - freshMs);
    const news = reads.filter((read) => names.includes(read.name) && !isFresh(read));
    if (news.length === 0) return;
    const noted = news.reduce((all: readonly Reading[], read) => noteReading(all, read, nowMs), known);
    const snapshots = noted.filter(({ name }) => names.includes(name));
    const { gid } = await lstat(directory);
    await writeFileAtomically(store.readingFile(client), `${JSON.stringify({ format: 1, snapshots })}\n`, {
      mode: 0o640,
      uid: 0,
      gid,
    });
  } finally {
    await lock.release();
  }
}

/** One snapshot that a program in a jail shows at this moment. */
interface LiveRead {
  readonly client: ClientName;
  readonly snapshot: SnapshotName;
  readonly pid: number;
  readonly ageMs: number;
}

/** The snapshots that are in a jail now, by bubblewrap's own arguments; what ends while it is looked at is left out. */
async function findLiveReads(store: Store): Promise<LiveRead[]> {
  const found = await Promise.all(
    runningJails().map(async ({ pid, argv }): Promise<LiveRead[]> => {
      try {
        const shown = jailedDirectories(store, argv).flatMap(({ client, isWritable, directory }) => {
          const [room, name = ''] = directory.slice(store.clientDir(client).length + 1).split('/');
          const snapshot = room === 'snapshots' && !isWritable ? parseSnapshotName(name) : undefined;
          return snapshot === undefined ? [] : [{ client, snapshot }];
        });
        if (shown.length === 0 || (await isChildOfBwrap(pid))) return [];
        const ageMs = await ageOf(pid);
        return shown.map((each) => ({ ...each, pid: Number(pid), ageMs }));
      } catch {
        // It has ended.
        return [];
      }
    }),
  );
  return found.flat();
}

/**
 * Ends what reads a snapshot that is deleted: btrfs gives its space back only when nothing in it is open any more. Who reads hears that
 * it is gone when the next session asks for it.
 */
export async function endReads(store: Store, client: ClientName, snapshot: string): Promise<void> {
  for (const read of await findLiveReads(store)) {
    if (read.client !== client || read.snapshot !== snapshot) continue;
    try {
      // bwrap's end ends everything in the jail.
      process.kill(read.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
}

/**
 * What is being read of some clients, by the records and by what runs now. Needs root.
 * @param record writes down what runs now, so that its day is counted whoever started it
 */
export async function findReadings(
  store: Store,
  clients: Iterable<ClientName>,
  now: Date,
  { record }: { readonly record: boolean },
): Promise<Map<ClientName, readonly Reading[]>> {
  const live = await findLiveReads(store);
  const found = new Map<ClientName, readonly Reading[]>();
  for (const client of clients) {
    const reads = live
      .filter((each) => each.client === client)
      .map(({ snapshot, ageMs }) => ({ name: snapshot, since: now.getTime() - ageMs }));
    // A full disk takes no record: what runs is known all the same.
    if (record && reads.length > 0) await recordReadings(store, client, reads, now).catch(() => undefined);
    const known = record ? await readReadings(store, client, now) : await lookAtReadings(store, client);
    const noted = reads.reduce((all: readonly Reading[], read) => noteReading(all, read, now.getTime()), known);
    found.set(
      client,
      noted.filter((each) => standingOf(each, now.getTime()) !== undefined),
    );
  }
  return found;
}
