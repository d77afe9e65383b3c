import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import * as v from 'valibot';
import { BytebackError, reasonOf } from '../errors.ts';
import { escapeName, unescapeName } from '../protocol/file-name.ts';
import {
  type ClientName,
  ClientNameSchema,
  parseClientName,
  parseSnapshotName,
  type SnapshotName,
  SnapshotNameSchema,
  snapshotNameAt,
} from '../protocol/names.ts';
import { findUser } from '../system/accounts.ts';
import {
  filesAt,
  type Inode,
  isUnreadable,
  listSubvolumes,
  namesOfInode,
  type ScrubCounts,
  scrub,
  sectorsAt,
  unnamed,
} from '../system/btrfs-scrub.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';
import { tryLock } from '../system/lock.ts';
import type { Log } from '../system/log.ts';
import { recordEvent } from './events.ts';
import { noJail, startInJail, whyNoJail } from './sandbox/jail.ts';
import { jailedProgramArgv } from './sandbox/jailed.ts';
import { listSnapshotNames, type Store } from './store.ts';

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

/** What is known of damage; a snapshot that is gone is not named any more. */
export async function readBitrot(store: Store): Promise<Bitrot> {
  try {
    return v.parse(BitrotSchema, JSON.parse(await readFile(bitrotFile(store), 'utf8')));
  } catch (error) {
    if (isMissing(error)) return { format: 1, scrubbedAt: null, damaged: [], unplaced: 0 };
    throw new BytebackError('refused', {
      what: 'cannot tell what is damaged',
      why: `${bitrotFile(store)}: ${reasonOf(error)}`,
      fix: `move that file away, and run: byteback scrub`,
    });
  }
}

async function changeBitrot(store: Store, clock: Clock, change: (bitrot: Bitrot) => Bitrot): Promise<Bitrot> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const lock = await tryLock(join(store.stateDir, 'bitrot.lock'), { create: true });
    if (lock === undefined) {
      await clock.sleep(25);
      continue;
    }
    try {
      const after = change(await readBitrot(store));
      await writeFileAtomically(bitrotFile(store), `${JSON.stringify(after, undefined, 2)}\n`, { mode: 0o600 });
      return after;
    } finally {
      await lock.release();
    }
  }
  throw new BytebackError('locked', { what: 'somebody else is recording damage', fix: 'try again in a moment' });
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
  deps: { readonly store: Store; readonly clock: Clock; readonly log: Log; readonly signal?: AbortSignal },
): Promise<ScrubReport> {
  const { store, clock, log, signal } = deps;
  log.step(`reading all of ${store.root}`);
  const { badAddresses, ...counts } = await scrub(store.root, {
    ...options,
    ...(signal === undefined ? {} : { signal }),
  });
  const now = clock.now().toISOString();
  const located = await locate(store, badAddresses ?? [], now);
  const unplaced = Math.max(0, counts.uncorrectable - located.placed);
  const { damaged } = await changeBitrot(store, clock, (before) => ({
    format: 1,
    scrubbedAt: now,
    // A scrub sees everything: what it did not find is gone. When it was first found, and mended, stays.
    damaged: located.damaged.map((damage) => {
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
  return {
    what: `${damaged.length} damaged files found by a scrub${toSend === 0 ? '' : `; the next backup sends ${toSend} of them again`}`,
    why: `${names.join(', ')}${damaged.length > 5 ? ', …' : ''}`.slice(0, 1900),
  };
}

/** "3 snapshots from … to …". */
export function placesInWords(snapshots: readonly string[]): string {
  if (snapshots.length === 0) return 'no snapshot';
  if (snapshots.length < 3) return snapshots.join(' and ');
  return `${snapshots.length} snapshots from ${snapshots[0]} to ${snapshots.at(-1)}`;
}

/** Whose files some sectors belong to. */
async function locate(
  store: Store,
  addresses: readonly bigint[],
  now: string,
): Promise<{ damaged: Damage[]; placed: number }> {
  const found = new Map<string, Damage>();
  let placed = 0;
  if (addresses.length === 0) return { damaged: [], placed };
  const subvolumes = await listSubvolumes(store.root);
  const seen = new Set<string>();
  for (const address of addresses) {
    for (const sector of sectorsAt(address)) {
      const files = (await filesAt(store.root, sector)).flatMap((file) => {
        const place = placeOf(store, subvolumes.get(file.subvolume));
        return place === undefined ? [] : [{ ...file, ...place }];
      });
      if (!(await isBad(files))) continue;
      // Counted as scrub counts: an address may stand for several of them.
      placed += 1;
      for (const { subvolume, inode, client, snapshot, directory } of files) {
        if (seen.has(`${subvolume} ${inode}`)) continue;
        seen.add(`${subvolume} ${inode}`);
        for (const path of await pathsOf(directory, inode)) {
          const key = `${client} ${path}`;
          const before = found.get(key) ?? { client, path, snapshots: [], current: 'whole', foundAt: now };
          found.set(
            key,
            snapshot === undefined
              ? { ...before, current: 'damaged' }
              : { ...before, snapshots: [...before.snapshots, snapshot].toSorted() },
          );
        }
      }
    }
  }
  const damaged = [...found.values()].toSorted((a, b) => (`${a.client} ${a.path}` < `${b.client} ${b.path}` ? -1 : 1));
  return { damaged, placed };
}

/** Whether a sector is the bad one: any of the files that it belongs to tells. */
async function isBad(files: readonly (Inode & { readonly directory: string })[]): Promise<boolean> {
  for (const { directory, inode, offset } of files) {
    const [name] = await namesOfInode(directory, inode);
    // Without a name that can be told there is nothing to read; another one may have one.
    if (name !== undefined) return isUnreadable(name, offset);
  }
  return false;
}

/** Whose subvolume it is: `clients/NAME/current`, or `clients/NAME/snapshots/SNAPSHOT`. */
function placeOf(store: Store, path: string | undefined) {
  const [, name = '', snapshotName] =
    /(?:^|\/)clients\/([^/]+)\/(?:current|snapshots\/([^/]+))$/.exec(path ?? '') ?? [];
  const client = parseClientName(name);
  const snapshot = snapshotName === undefined ? undefined : parseSnapshotName(snapshotName);
  if (client === undefined || (snapshotName !== undefined && snapshot === undefined)) return undefined;
  return {
    client,
    snapshot,
    directory: snapshot === undefined ? store.currentDir(client) : store.snapshotDir(client, snapshot),
  };
}

/** The client's names of a file in one of its subvolumes, escaped. */
async function pathsOf(directory: string, inode: bigint): Promise<string[]> {
  const top = Buffer.from(`${directory}/fs`);
  const names = (await namesOfInode(directory, inode)).filter((name) => name.subarray(0, top.length).equals(top));
  return names.length === 0 ? [unnamed(inode)] : names.map((name) => escapeName(name.subarray(top.length)));
}

/** No record names more. */
const mostMended = 1000;

/**
 * Removes from `current` what is damaged there, in the jail, as the user that receives: a run that walks everything finds
 * it missing and sends it. Called under the client's lock when such a run is opened.
 * @returns what was removed, escaped.
 */
export async function dropDamaged(store: Store, client: ClientName, userName: string): Promise<string[]> {
  const { damaged } = await readBitrot(store);
  const paths = damaged
    .filter((damage) => damage.client === client && damage.current === 'damaged' && damage.path.startsWith('/'))
    .map(({ path }) => path)
    .slice(0, mostMended);
  if (paths.length === 0) return [];
  const account = await findUser(userName);
  if (account === undefined) return [];
  const program = await startInJail({
    directory: store.fsDir(client),
    access: 'write',
    argv: jailedProgramArgv('drop'),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    timeoutMs: 300_000,
    account: { uid: account.uid, gid: account.gid },
  });
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(Buffer.concat(paths.flatMap((path) => [unescapeName(path).subarray(1), Buffer.from([0])])));
  const [, stderr, { exitCode }] = await Promise.all([
    program.stdout === null ? undefined : buffer(program.stdout),
    program.stderr === null ? '' : text(program.stderr),
    program.ended,
  ]);
  if (exitCode !== 0) throw noJail(whyNoJail(stderr) ?? `the program in it exited ${exitCode}`);
  return paths;
}

/** After a run that sent damaged files again is complete: what is known of them, and what stays damaged. */
export async function recordMended(
  store: Store,
  clock: Clock,
  client: ClientName,
  mended: readonly string[],
  snapshot: SnapshotName,
): Promise<void> {
  if (mended.length === 0) return;
  const now = clock.now().toISOString();
  const paths = new Set(mended);
  const existing = await listSnapshotNames(store, client);
  const after = await changeBitrot(store, clock, (bitrot) => {
    // Snapshots taken after the scrub and before this run hold what was damaged then.
    const since = snapshotNameAt(new Date(bitrot.scrubbedAt ?? now));
    const between = existing.filter((name) => name >= since && name < snapshot);
    const mend = (damage: Damage): Damage => {
      if (damage.client !== client) return damage;
      const isMended = damage.current === 'damaged' && paths.has(damage.path);
      const known = new Set([...damage.snapshots, ...(isMended ? between : [])]);
      const snapshots = existing.filter((name) => known.has(name));
      return isMended ? { ...damage, snapshots, current: 'sent again', mendedAt: now } : { ...damage, snapshots };
    };
    return { ...bitrot, damaged: bitrot.damaged.map(mend) };
  });
  const its = after.damaged.filter((damage) => damage.client === client && damage.mendedAt === now);
  if (its.length === 0) return;
  const left = its.filter(({ snapshots }) => snapshots.length > 0);
  const names = left.slice(0, 5).map(({ path, snapshots }) => `${path} in ${placesInWords(snapshots)}`);
  await recordEvent(store, {
    at: now,
    kind: 'bitrot',
    client,
    what: `${its.length} damaged files were sent again`,
    ...(left.length === 0
      ? {}
      : { why: `still damaged: ${names.join(', ')}${left.length > 5 ? ', …' : ''}`.slice(0, 1900) }),
  });
}
