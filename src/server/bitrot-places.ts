import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import * as v from 'valibot';
import { escapeName } from '../protocol/file-name.ts';
import { type ClientName, parseClientName, parseSnapshotName, type SnapshotName } from '../protocol/names.ts';
import { subvolumeIdOf, subvolumePathOf } from '../system/btrfs/subvolumes.ts';
import { filesAt, type Inode, isUnreadable, namesOfInode, sectorsAt, unnamed } from '../system/btrfs-scrub.ts';
import type { Log } from '../system/log.ts';
import type { Damage } from './bitrot.ts';
import { UnreadableRowSchema } from './sandbox/inside/unreadable.ts';
import { noJail, startInJail, whyNoJail } from './sandbox/jail.ts';
import { jailedProgramArgv } from './sandbox/jailed.ts';
import { listClientNames, listSnapshotNames, type Store } from './store.ts';

/** What is damaged, gathered from several sides: each client's paths once. */
export class DamageList {
  readonly #found = new Map<string, Damage>();
  readonly #now: string;

  constructor(now: string) {
    this.#now = now;
  }

  /** @param snapshot undefined for `current`. */
  add(client: ClientName, path: string, snapshot: SnapshotName | undefined): void {
    const key = `${client} ${path}`;
    const before = this.#found.get(key) ?? { client, path, snapshots: [], current: 'whole', foundAt: this.#now };
    if (snapshot === undefined) this.#found.set(key, { ...before, current: 'damaged' });
    else if (!before.snapshots.includes(snapshot))
      this.#found.set(key, { ...before, snapshots: [...before.snapshots, snapshot].toSorted() });
  }

  sorted(): Damage[] {
    return [...this.#found.values()].toSorted((a, b) => (`${a.client} ${a.path}` < `${b.client} ${b.path}` ? -1 : 1));
  }
}

/** Whose files some sectors belong to. @returns how many sectors that says all of. */
export async function locate(store: Store, addresses: readonly bigint[], found: DamageList): Promise<number> {
  let placed = 0;
  if (addresses.length === 0) return placed;
  const places = new Places(store);
  const seen = new Set<string>();
  for (const address of addresses) {
    for (const sector of sectorsAt(address)) {
      const files: (Inode & Place)[] = [];
      for (const file of await filesAt(store.root, sector)) {
        const place = await places.of(file.subvolume);
        if (place !== undefined) files.push({ ...file, ...place });
      }
      if (!(await isBad(files))) continue;
      // Counted as scrub counts: an address may stand for several of them.
      placed += 1;
      for (const { subvolume, inode, client, snapshot, directory } of files) {
        if (seen.has(`${subvolume} ${inode}`)) continue;
        seen.add(`${subvolume} ${inode}`);
        for (const path of await pathsOf(directory, inode)) found.add(client, path, snapshot);
      }
    }
  }
  return placed;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** A client whose files take longer to read is given up. */
const readingTimeoutMs = 12 * 3_600_000;

/**
 * Reads all files of all clients, in the jail, as the user that receives: what the disk does not give is damaged. For
 * errors whose place the kernel does not tell: it writes no more than ten messages in five seconds.
 * @returns how many blocks could not be read.
 */
export async function readAll(store: Store, account: Account, found: DamageList, log: Log): Promise<number> {
  // What is still in memory of a damaged file would be read from there.
  await writeFile('/proc/sys/vm/drop_caches', '1').catch(() =>
    log.warn('what is in memory of files cannot be dropped'),
  );
  let blocks = 0;
  for (const client of await listClientNames(store)) {
    log.step(`reading all files of ${client}`);
    blocks += await readClient(store, client, account, found);
  }
  return blocks;
}

async function readClient(store: Store, client: ClientName, account: Account, found: DamageList): Promise<number> {
  const snapshots = (await listSnapshotNames(store, client)).toReversed();
  const program = await startInJail({
    directory: store.clientDir(client),
    access: 'read',
    argv: jailedProgramArgv('unreadable'),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    timeoutMs: readingTimeoutMs,
    account: { uid: account.uid, gid: account.gid },
  });
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(JSON.stringify({ trees: ['current', ...snapshots.map((name) => `snapshots/${name}`)] }));
  let blocks = 0;
  const readRows = async () => {
    if (program.stdout === null) return;
    for await (const line of createInterface({ input: program.stdout })) {
      const row = v.safeParse(UnreadableRowSchema, JSON.parse(line));
      if (!row.success) continue;
      const { tree, path } = row.output;
      const snapshot = tree === 'current' ? undefined : parseSnapshotName(tree.slice('snapshots/'.length));
      if (tree !== 'current' && snapshot === undefined) continue;
      found.add(client, path, snapshot);
      blocks += row.output.blocks;
    }
  };
  const [, stderr, { exitCode, timedOut }] = await Promise.all([
    readRows(),
    program.stderr === null ? '' : text(program.stderr),
    program.ended,
  ]);
  // What was found until then counts.
  if (exitCode !== 0 && !timedOut) throw noJail(whyNoJail(stderr) ?? `the program in it exited ${exitCode}`);
  return blocks;
}

/** Whether a sector is the bad one: any of the files that it belongs to tells. */
async function isBad(files: readonly (Inode & Place)[]): Promise<boolean> {
  for (const { directory, inode, offset } of files) {
    const [name] = await namesOfInode(directory, inode);
    // Without a name that can be told there is nothing to read; another one may have one.
    if (name !== undefined) return isUnreadable(name, offset);
  }
  return false;
}

/** Whose a subvolume is, and where. */
interface Place {
  readonly client: ClientName;
  /** Undefined for `current`. */
  readonly snapshot: SnapshotName | undefined;
  readonly directory: string;
}

/** Whose subvolumes are, by their numbers; each is asked for once. */
class Places {
  readonly #store: Store;
  readonly #known = new Map<number, Promise<Place | undefined>>();

  constructor(store: Store) {
    this.#store = store;
  }

  of(subvolume: number): Promise<Place | undefined> {
    const place = this.#known.get(subvolume) ?? this.#find(subvolume);
    this.#known.set(subvolume, place);
    return place;
  }

  async #find(subvolume: number): Promise<Place | undefined> {
    const place = placeOf(this.#store, await subvolumePathOf(this.#store.root, subvolume));
    if (place === undefined) return undefined;
    // A subvolume that somebody made within a client's files can have a path that ends like that of another client.
    const there = await subvolumeIdOf(place.directory).catch(() => undefined);
    return there === subvolume ? place : undefined;
  }
}

/** Whose subvolume it is: `clients/NAME/current`, or `clients/NAME/snapshots/SNAPSHOT`. */
function placeOf(store: Store, path: string | undefined): Place | undefined {
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
