import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { BytebackError } from '../errors.ts';
import { type ClientName, ClientNameSchema } from '../protocol/names.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileAtomically } from '../system/files.ts';
import { tryLock } from '../system/lock.ts';
import { readStateFile } from '../system/state-file.ts';
import type { Store } from './store.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());

/** What stands against pruning, root's: `.byteback/holds.json`. */
const HoldsSchema = v.object({
  format: v.literal(1),
  holds: v.array(
    v.object({
      client: ClientNameSchema,
      snapshot: v.string(),
      /** In the words of whoever held it. */
      reason: v.string(),
      since: Time,
      /** The guards are byteback itself: the client's next run was much larger than usual, or looked like a disaster. */
      by: v.picklist(['admin', 'growth-guard', 'destruction-guard']),
    }),
  ),
  /** Clients whose pruning is paused, by the destruction guard, until one of their snapshots is released. */
  paused: v.array(v.object({ client: ClientNameSchema, reason: v.string(), since: Time })),
  /** Clients whose next run may be much larger than usual, once. */
  allowGrowth: v.array(v.object({ client: ClientNameSchema, since: Time })),
});
export type Holds = v.InferOutput<typeof HoldsSchema>;
export type StoredHold = Holds['holds'][number];

function holdsFile(store: Store): string {
  return join(store.stateDir, 'holds.json');
}

/** The same once more, elsewhere: a file that is gone must not mean that nothing is held. No client's name begins with a dot. */
function copyFile(store: Store): string {
  return join(store.clientsDir, '.holds.json');
}

/** What is held, and where it is known from. */
export type KnownHolds = Holds & {
  /** Set when the file is gone or damaged and this is its copy: pruning is refused until the admin has looked. */
  readonly lost?: string;
};

const nothing: Holds = { format: 1, holds: [], paused: [], allowGrowth: [] };

/** @throws BytebackError refused when neither the file nor its copy can be read: nothing may be pruned as if nothing were held. */
export async function readHolds(store: Store): Promise<KnownHolds> {
  const path = holdsFile(store);
  const file = await readStateFile(path, HoldsSchema, 1);
  if (file.kind === 'ok') return file.value;
  const copy = file.kind === 'newer' ? file : await readStateFile(copyFile(store), HoldsSchema, 1);
  if (copy.kind === 'gone' && file.kind === 'gone') return nothing;
  const why = file.kind === 'gone' ? 'it is gone' : file.why;
  if (copy.kind === 'ok') return { ...copy.value, lost: `${path}: ${why}` };
  throw new BytebackError('refused', {
    what: 'cannot tell which snapshots are held',
    why: `${path}: ${why}`,
    fix:
      file.kind === 'newer'
        ? 'install that version of byteback again'
        : `mend that file, or move it away if nothing was held: mv ${path} ${path}.damaged`,
  });
}

/** Why nothing may be pruned while the record of what is held is lost, and what to do. */
export function whyLost(store: Store, lost: string): string {
  return `what is held is known from a copy only: ${lost}; when the copy is right: cp ${copyFile(store)} ${holdsFile(store)}`;
}

/** Makes the copy where an older version has made none. */
export async function keepCopyOfHolds(store: Store): Promise<void> {
  const file = await readStateFile(holdsFile(store), HoldsSchema, 1);
  const there = await lstat(copyFile(store)).then(
    () => true,
    () => false,
  );
  if (file.kind === 'ok' && !there) await writeHolds(copyFile(store), file.value);
}

async function writeHolds(path: string, holds: Holds): Promise<void> {
  await writeFileAtomically(path, `${JSON.stringify(holds, null, 2)}\n`, { mode: 0o600 });
}

/** Changes what is held, one writer at a time. */
export async function changeHolds(
  store: Store,
  clock: Clock,
  change: (holds: Holds) => Holds | undefined,
): Promise<Holds> {
  const lock = await patientLock(join(store.stateDir, 'holds.lock'), clock);
  try {
    const { lost, ...before } = await readHolds(store);
    const after = change(before);
    if (after === undefined) return before;
    await writeHolds(copyFile(store), after);
    // One that is lost comes back by the admin's hand alone: until then pruning is refused.
    if (lost === undefined) await writeHolds(holdsFile(store), after);
    return after;
  } finally {
    await lock.release();
  }
}

async function patientLock(path: string, clock: Clock) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const lock = await tryLock(path, { create: true });
    if (lock !== undefined) return lock;
    await clock.sleep(50);
  }
  throw new BytebackError('locked', { what: 'somebody else is changing what is held', fix: 'try again in a moment' });
}

/** Holds a snapshot; one that is held already gets the new reason. */
export async function holdSnapshot(
  store: Store,
  clock: Clock,
  hold: { client: ClientName; snapshot: string; reason: string; by: StoredHold['by'] },
): Promise<void> {
  await changeHolds(store, clock, (holds) => ({
    ...holds,
    holds: [
      ...holds.holds.filter(({ client, snapshot }) => client !== hold.client || snapshot !== hold.snapshot),
      { ...hold, since: clock.now().toISOString() },
    ],
  }));
}

/** What a release changed. */
export interface Released {
  readonly released: boolean;
  /** True when the client's pruning was paused and goes on now. */
  readonly resumed: boolean;
}

/** Releases a snapshot; releasing one that the destruction guard held ends the pause of its client too. */
export async function releaseSnapshot(
  store: Store,
  clock: Clock,
  client: ClientName,
  snapshot: string,
): Promise<Released> {
  let outcome: Released = { released: false, resumed: false };
  await changeHolds(store, clock, (holds) => {
    const its = (entry: { client: ClientName }) => entry.client === client;
    const held = holds.holds.find((hold) => its(hold) && hold.snapshot === snapshot);
    if (held === undefined) return undefined;
    const stillGuarded = holds.holds.some((hold) => its(hold) && hold.by === 'destruction-guard' && hold !== held);
    const resumed = held.by === 'destruction-guard' && !stillGuarded && holds.paused.some(its);
    outcome = { released: true, resumed };
    return {
      ...holds,
      holds: holds.holds.filter((hold) => hold !== held),
      paused: resumed ? holds.paused.filter((entry) => !its(entry)) : holds.paused,
    };
  });
  return outcome;
}

/** Pauses the pruning of a client and holds its last good snapshot, in one change. */
export async function pauseClient(
  store: Store,
  clock: Clock,
  pause: { client: ClientName; reason: string; lastGood: string | undefined },
): Promise<void> {
  const { client, reason, lastGood } = pause;
  const since = clock.now().toISOString();
  await changeHolds(store, clock, (holds) => {
    // What came after the first disaster is not spared: a pause that began stays as it began.
    const paused = holds.paused.some((entry) => entry.client === client)
      ? holds.paused
      : [...holds.paused, { client, reason, since }];
    const guarded = holds.holds.some((hold) => hold.client === client && hold.by === 'destruction-guard');
    // The first disaster's last good snapshot is the good one; what came after it may be more of the same.
    if (lastGood === undefined || guarded) return { ...holds, paused };
    return {
      ...holds,
      paused,
      holds: [...holds.holds, { client, snapshot: lastGood, reason, since, by: 'destruction-guard' }],
    };
  });
}

/** Ends the pause of a client, and what the destruction guard held for it. */
export async function resumeClient(store: Store, clock: Clock, name: ClientName): Promise<void> {
  await changeHolds(store, clock, (holds) => ({
    ...holds,
    paused: holds.paused.filter(({ client }) => client !== name),
    holds: holds.holds.filter(({ client, by }) => client !== name || by !== 'destruction-guard'),
  }));
}

/** A pause that a habit explains is over. Its last good snapshot stays held for a while: see `freeOldGuards`. */
export async function endPause(store: Store, clock: Clock, client: ClientName): Promise<boolean> {
  let resumed = false;
  await changeHolds(store, clock, (holds) => {
    resumed = holds.paused.some((entry) => entry.client === client);
    return resumed ? { ...holds, paused: holds.paused.filter((entry) => entry.client !== client) } : undefined;
  });
  return resumed;
}

/** What the guard held is held so long after its pause is over: time enough for somebody to see that it was none. */
const guardedAfterMs = 30 * 86_400_000;

/** Releases what the destruction guard held for clients that are not paused any more, a month after it began. */
export async function freeOldGuards(store: Store, clock: Clock): Promise<StoredHold[]> {
  const now = clock.now().getTime();
  const isOver = (holds: Holds, hold: StoredHold) =>
    hold.by === 'destruction-guard' &&
    now - Date.parse(hold.since) > guardedAfterMs &&
    !holds.paused.some(({ client }) => client === hold.client);
  const seen = await readHolds(store);
  if (!seen.holds.some((hold) => isOver(seen, hold))) return [];
  let freed: StoredHold[] = [];
  await changeHolds(store, clock, (holds) => {
    freed = holds.holds.filter((hold) => isOver(holds, hold));
    return { ...holds, holds: holds.holds.filter((hold) => !isOver(holds, hold)) };
  });
  return freed;
}

/** Lets the next run of a client be much larger than usual, once. */
export async function allowGrowth(store: Store, clock: Clock, client: ClientName): Promise<void> {
  await changeHolds(store, clock, (holds) => ({
    ...holds,
    allowGrowth: [
      ...holds.allowGrowth.filter((entry) => entry.client !== client),
      { client, since: clock.now().toISOString() },
    ],
  }));
}

/** Holds the last good snapshot of a client whose run was refused for its size; once is enough. */
export async function holdForGrowth(
  store: Store,
  clock: Clock,
  client: ClientName,
  lastGood: string | undefined,
  reason: string,
): Promise<void> {
  const since = clock.now().toISOString();
  await changeHolds(store, clock, (holds) => {
    const isHeld = holds.holds.some((hold) => hold.client === client && hold.by === 'growth-guard');
    if (lastGood === undefined || isHeld) return undefined;
    return { ...holds, holds: [...holds.holds, { client, snapshot: lastGood, reason, since, by: 'growth-guard' }] };
  });
}

/** A run of a client completed: what was allowed is used, and what was held for a refused run may go again. */
export async function growthIsSettled(store: Store, clock: Clock, clients: ReadonlySet<string>): Promise<void> {
  const isOpen = (holds: Holds) =>
    holds.allowGrowth.some(({ client }) => clients.has(client)) ||
    holds.holds.some(({ client, by }) => by === 'growth-guard' && clients.has(client));
  if (!isOpen(await readHolds(store))) return;
  await changeHolds(store, clock, (holds) => ({
    ...holds,
    allowGrowth: holds.allowGrowth.filter(({ client }) => !clients.has(client)),
    holds: holds.holds.filter(({ client, by }) => by !== 'growth-guard' || !clients.has(client)),
  }));
}
