import { join } from 'node:path';
import * as v from 'valibot';
import { BytebackError } from '../errors.ts';
import {
  type ClientName,
  ClientNameSchema,
  type SnapshotName,
  SnapshotNameSchema,
  snapshotNameAt,
} from '../protocol/names.ts';
import { type ScrubCounts, scrub } from '../system/btrfs-scrub.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileAtomically } from '../system/files.ts';
import { tryLock } from '../system/lock.ts';
import type { Log } from '../system/log.ts';
import { readStateFile } from '../system/state-file.ts';
import { DamageList, locate, readAll } from './bitrot-places.ts';
import { recordEvent } from './events.ts';
import { putStateAside } from './state-files.ts';
import { clientExists, listSnapshotNames, type Store } from './store.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());

/** A file whose content the disk does not give any more. */
const DamageSchema = v.object({
  client: ClientNameSchema,
  /** Absolute on the client, escaped. */
  path: v.string(),
  /** Snapshots that hold the damaged content: restoring it from them fails. Oldest first. */
  snapshots: v.array(SnapshotNameSchema),
  /** `damaged`: the next backup sends it again. `sent again`: it did. `whole`: only snapshots are damaged. */
  current: v.picklist(['damaged', 'sent again', 'whole']),
  foundAt: Time,
  /** When it was sent again. */
  mendedAt: v.optional(Time),
});
export type Damage = v.InferOutput<typeof DamageSchema>;

/** `.byteback/bitrot.json`, root's: what the last scrub found, and what became of it. */
const BitrotSchema = v.object({
  format: v.literal(1),
  /** The end of the last scrub; null before the first. */
  scrubbedAt: v.nullable(Time),
  damaged: v.array(DamageSchema),
  /** Errors that belong to no client's file, or that the kernel's log does not tell the place of. */
  unplaced: v.number(),
});
export type Bitrot = v.InferOutput<typeof BitrotSchema>;

const bitrotFile = (store: Store) => join(store.stateDir, 'bitrot.json');

/** What was recorded of damage. */
export async function readBitrot(store: Store): Promise<Bitrot> {
  const read = await readStateFile(bitrotFile(store), BitrotSchema, 1);
  if (read.kind === 'ok') return read.value;
  if (read.kind === 'gone') return { format: 1, scrubbedAt: null, damaged: [], unplaced: 0 };
  throw new BytebackError('refused', {
    what: 'cannot tell what is damaged',
    why: `${bitrotFile(store)}: ${read.why}`,
    fix: `move that file away, and run: byteback scrub`,
  });
}

export async function changeBitrot(store: Store, clock: Clock, change: (bitrot: Bitrot) => Bitrot): Promise<Bitrot> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const lock = await tryLock(join(store.stateDir, 'bitrot.lock'), { create: true });
    if (lock === undefined) {
      await clock.sleep(25);
      continue;
    }
    try {
      const path = bitrotFile(store);
      const read = await readStateFile(path, BitrotSchema, 1);
      // A scrub finds everything anew.
      if (read.kind === 'damaged') await putStateAside(store, path, read.why, clock.now());
      const after = change(await readBitrot(store));
      await writeFileAtomically(bitrotFile(store), `${JSON.stringify(after, undefined, 2)}\n`, { mode: 0o600 });
      return after;
    } finally {
      await lock.release();
    }
  }
  throw new BytebackError('locked', { what: 'somebody else is recording damage', fix: 'try again in a moment' });
}

/**
 * What is known of damage by now: a snapshot that is gone is not named any more, and one that was taken since the scrub
 * holds what was not yet sent again.
 */
export async function presentBitrot(store: Store): Promise<Bitrot> {
  const bitrot = await readBitrot(store);
  const since = bitrot.scrubbedAt === null ? undefined : snapshotNameAt(new Date(bitrot.scrubbedAt));
  const existing = new Map<ClientName, SnapshotName[]>();
  for (const client of new Set(bitrot.damaged.map((damage) => damage.client)))
    existing.set(client, (await clientExists(store, client)) ? await listSnapshotNames(store, client) : []);
  const damaged = bitrot.damaged.map((damage) => {
    const known = new Set<string>(damage.snapshots);
    const isIn = (name: SnapshotName) =>
      known.has(name) || (damage.current === 'damaged' && since !== undefined && name >= since);
    return { ...damage, snapshots: (existing.get(damage.client) ?? []).filter(isIn) };
  });
  return { ...bitrot, damaged };
}

/** What a scrub showed; `--json` prints it. */
export interface ScrubReport extends ScrubCounts {
  readonly status: 'ok' | 'partial';
  readonly damaged: readonly Damage[];
  readonly unplaced: number;
}

/** Reads and checks the whole store, and says which files of whom are damaged where. */
export async function scrubStore(
  options: { readonly bytesPerSecond?: number },
  deps: {
    readonly store: Store;
    /** The user that receives. */
    readonly account: { readonly uid: number; readonly gid: number };
    readonly clock: Clock;
    readonly log: Log;
    readonly signal?: AbortSignal;
  },
): Promise<ScrubReport> {
  const { store, clock, log, signal } = deps;
  log.step(`reading all of ${store.root}`);
  const { badAddresses, ...counts } = await scrub(store.root, {
    ...options,
    ...(signal === undefined ? {} : { signal }),
  });
  const now = clock.now().toISOString();
  const found = new DamageList(now);
  const placed = await locate(store, badAddresses ?? [], found);
  // The kernel writes ten messages in five seconds and then none: what it did not tell is found by reading.
  const isTold = placed >= counts.uncorrectable;
  if (!isTold) log.warn(`the kernel did not say where ${counts.uncorrectable - placed} errors are: all files are read`);
  const unread = isTold ? 0 : await readAll(store, deps.account, found, log);
  const unplaced = Math.max(0, counts.uncorrectable - Math.max(placed, unread));
  const { damaged } = await changeBitrot(store, clock, (before) => ({
    format: 1,
    scrubbedAt: now,
    // A scrub sees everything: what it did not find is gone. When it was first found, and mended, stays.
    damaged: found.sorted().map((damage) => {
      const known = before.damaged.find(({ client, path }) => client === damage.client && path === damage.path);
      const mended = damage.current === 'whole' && known?.mendedAt !== undefined;
      return {
        ...damage,
        foundAt: known?.foundAt ?? damage.foundAt,
        ...(mended ? { current: 'sent again' as const, mendedAt: known.mendedAt } : {}),
      };
    }),
    unplaced,
  }));
  for (const client of new Set(damaged.map((damage) => damage.client))) {
    const its = damaged.filter((damage) => damage.client === client);
    await recordEvent(store, { at: now, kind: 'bitrot', client, ...inWords(its) });
  }
  if (unplaced > 0) {
    const what = `${unplaced} errors on the disk belong to no file of a client, or their place is not known`;
    await recordEvent(store, { at: now, kind: 'bitrot', what });
  }
  return { status: counts.uncorrectable === 0 ? 'ok' : 'partial', ...counts, damaged, unplaced };
}

/** What is damaged of one client, as an event says it. */
function inWords(damaged: readonly Damage[]): { what: string; why: string } {
  const toSend = damaged.filter(({ current }) => current === 'damaged').length;
  const names = damaged.slice(0, 5).map(({ path, snapshots }) => `${path} (in ${placesInWords(snapshots)})`);
  const which = damaged.length === 1 ? 'it' : `${toSend} of them`;
  return {
    what: `${damagedFiles(damaged.length)} found by a scrub${toSend === 0 ? '' : `; the next backup sends ${which} again`}`,
    why: `${names.join(', ')}${damaged.length > 5 ? ', …' : ''}`.slice(0, 1900),
  };
}

/** "1 damaged file". */
export function damagedFiles(count: number): string {
  return count === 1 ? '1 damaged file' : `${count} damaged files`;
}

/** "3 snapshots from … to …". */
export function placesInWords(snapshots: readonly string[]): string {
  if (snapshots.length === 0) return 'no snapshot';
  if (snapshots.length < 3) return snapshots.join(' and ');
  return `${snapshots.length} snapshots from ${snapshots[0]} to ${snapshots.at(-1)}`;
}
