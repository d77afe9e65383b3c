import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { escapeName } from '../../protocol/file-name.ts';
import type { ClientName } from '../../protocol/names.ts';
import { historyBytes } from '../../retention/history.ts';
import { allSubvolumes } from '../../system/btrfs/all-subvolumes.ts';
import { treeBytes } from '../../system/btrfs/tree-size.ts';
import { bytesWrittenSince, generationOf } from '../../system/btrfs/written.ts';
import type { Holds } from '../holds.ts';
import type { Ledger } from '../ledger.ts';
import { readRecord } from '../runs/record.ts';
import { listClientNames, listSnapshotNames, type Store } from '../store.ts';
import { type StoredSnapshot, timeOfSnapshotName } from './contents.ts';
import { inBytes } from './words.ts';

/** Who holds the space of a store, as far as it is known. Bytes. */
export interface Holders {
  /** Paths, escaped, of subvolumes in the store's file system that are not byteback's. */
  readonly foreign: readonly string[];
  readonly clients: readonly {
    readonly client: string;
    /** The files of today, what the newest snapshot shares with `current` included. */
    readonly currentBytes: number;
    /** What a run that is not completed has written since; where it is known. */
    readonly unfinishedBytes: number;
    readonly historyBytes: number;
    readonly held: number;
  }[];
  /** Used, and neither in a client's files nor in its history; negative figures are 0. */
  readonly othersBytes: number;
}

/** The shortest list that says what matters. */
const named = 3;

/** True for a subvolume that byteback made, or that the original did. */
export function isOurs(path: string): boolean {
  if (/^clients\/[^/]+\/(?:current|\.current-[a-z]+|snapshots\/[^/]+)$/.test(path)) return true;
  if (/^clients\/\.new-[^/]+\/current$/.test(path)) return true;
  const [, name, ...rest] = path.split('/');
  return rest.length === 0 && name !== undefined && (name === 'current' || timeOfSnapshotName(name) !== undefined);
}

/** The subvolumes of the store's file system that are not byteback's, escaped. */
export async function foreignSubvolumes(store: Store): Promise<string[]> {
  return (await allSubvolumes(store.root, isOurs)).map((path) => escapeName(Buffer.from(path, 'latin1')));
}

/** What stands at the store's top and is not byteback's, nor a client's directory of the original's; escaped. */
export async function foreignEntries(
  store: Store,
  contents: ReadonlyMap<string, readonly StoredSnapshot[]>,
): Promise<string[]> {
  const ours = new Set([basename(store.stateDir), basename(store.clientsDir)]);
  for (const [client, snapshots] of contents) if (snapshots.some(({ isOriginal }) => isOriginal)) ours.add(client);
  const names = await readdir(store.root, { encoding: 'latin1' });
  return names.filter((name) => !ours.has(name)).map((name) => escapeName(Buffer.from(name, 'latin1')));
}

/** Puts together who holds the space. Pure. */
export function holdersOf(facts: {
  readonly ledger: Ledger;
  readonly holds: Holds;
  readonly foreign: readonly string[];
  readonly usedBytes: number;
  /** What unfinished runs have written, by client. */
  readonly unfinished: ReadonlyMap<string, number>;
}): Holders {
  const { ledger, holds, foreign, usedBytes, unfinished } = facts;
  const names = new Set([...Object.keys(ledger.clients), ...unfinished.keys()]);
  const clients = [...names].map((client) => {
    const its = ledger.clients[client];
    const unfinishedBytes = unfinished.get(client) ?? 0;
    const tree = (its?.measured?.treeBytes ?? its?.treeBytes ?? 0) * (its?.history.diskRatio ?? 1);
    return {
      client,
      currentBytes: tree + unfinishedBytes,
      unfinishedBytes,
      historyBytes: its === undefined ? 0 : historyBytes(its.history.entries),
      held: holds.holds.filter((hold) => hold.client === client).length,
    };
  });
  clients.sort((a, b) => b.currentBytes + b.historyBytes - (a.currentBytes + a.historyBytes));
  const known = clients.reduce((sum, { currentBytes, historyBytes: its }) => sum + currentBytes + its, 0);
  return { foreign, clients, othersBytes: Math.max(0, usedBytes - known) };
}

/** "the space is held by: current of web1 (7.2 GiB, of which 7.1 GiB are of a run that is not completed), …". Pure. */
export function holdersInWords({ foreign, clients, othersBytes }: Holders): string {
  const parts: string[] = [];
  if (foreign.length > 0) {
    const shown = foreign.slice(0, named).join(', ');
    const more = foreign.length > named ? ` and ${foreign.length - named} more` : '';
    parts.push(`${foreign.length} subvolumes that are not byteback's (${shown}${more})`);
  }
  for (const { client, currentBytes, unfinishedBytes, historyBytes: past, held } of clients.slice(0, named)) {
    const open = unfinishedBytes > 0 ? `, ${inBytes(unfinishedBytes)} of a run that is not completed` : '';
    const holds = held > 0 ? `, ${held} of its snapshots held` : '';
    parts.push(`current of ${client} (${inBytes(currentBytes)}${open}) and its history (${inBytes(past)}${holds})`);
  }
  if (othersBytes > 0) {
    const what = "files that are not byteback's, what they share by reflink, metadata and small files";
    parts.push(`${inBytes(othersBytes)} of other things (${what})`);
  }
  return `the space is held by: ${parts.join('; ')}`;
}

/** One client's unfinished run is measured for this long at most. */
const measureMs = 30_000;

/** Looks who holds the space. Needs root; changes nothing. */
export async function findHolders(
  store: Store,
  { ledger, holds, usedBytes }: { readonly ledger: Ledger; readonly holds: Holds; readonly usedBytes: number },
): Promise<Holders> {
  const unfinished = new Map<string, number>();
  for (const client of await listClientNames(store)) {
    const bytes = await unfinishedBytes(store, client, ledger);
    if (bytes > 0) unfinished.set(client, bytes);
  }
  return holdersOf({ ledger, holds, foreign: await foreignSubvolumes(store), usedBytes, unfinished });
}

/** What a run that is not completed has written into `current`; 0 where there is none, or where it cannot be told. */
export async function unfinishedBytes(store: Store, client: ClientName, ledger: Ledger): Promise<number> {
  const record = await readRecord(store.runFile(client)).catch(() => undefined);
  if (record?.state !== 'open') return 0;
  const current = store.currentDir(client);
  const newest = (await listSnapshotNames(store, client)).at(-1);
  if (newest === undefined) return (await treeBytes(current, measureMs)) ?? 0;
  const generation = await generationOf(store.snapshotDir(client, newest)).catch(() => undefined);
  if (generation === undefined) return 0;
  const written = await bytesWrittenSince(current, generation, measureMs).catch(() => undefined);
  return (written?.bytes ?? 0) * (ledger.clients[client]?.history.diskRatio ?? 1);
}
