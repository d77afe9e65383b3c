import { type BigIntStats, type Dirent, lstatSync, readdirSync } from 'node:fs';
import {
  attributesText,
  heldIn,
  type ListedEntry,
  type ListedType,
  listEnd,
  listRecord,
} from '../../../protocol/tree-list.ts';
import { type Attributes, readAttributes } from '../../../system/attributes.ts';
import { isMissing } from '../../../system/files.ts';
import { parseFakeStat } from './fake-stat.ts';
import { isPlainRelative, splitAtNul } from './separate.ts';
import { readTarget } from './versions.ts';
import type { ByteName } from './walk.ts';

/** Attributes are read for so many at once: a program is started for each such batch. */
const batchSize = 1000;
/** Mode, owner and device; what is compared; and, of what else is there, the names. */
const match = String.raw`^user\.`;

/** A name that was found, before its attributes are known. */
interface Seen {
  readonly name: ByteName;
  /** Undefined when the disk does not give it. */
  readonly stat: BigIntStats | undefined;
  readonly onTheWay: boolean;
}

/**
 * Everything at and below some names of one snapshot, and the directories on the way to them, in records (see tree-list.ts).
 * @param request names relative to the directory, each ended by NUL; `./` is all of it. Names that are not there are left out.
 */
export async function* treeInside(request: Buffer): AsyncGenerator<Buffer> {
  let before: Promise<Buffer> | undefined;
  let count = 0;
  let batch: Seen[] = [];
  for (const seen of walkAll(request)) {
    count += 1;
    batch.push(seen);
    if (batch.length < batchSize) continue;
    const next = recordsOf(batch);
    batch = [];
    if (before !== undefined) yield await before;
    before = next;
  }
  if (before !== undefined) yield await before;
  yield await recordsOf(batch);
  yield Buffer.from(listEnd(count), 'latin1');
}

function* walkAll(request: Buffer): Generator<Seen> {
  /** What was told already, when several names are asked for: one may lie below another. */
  const told = new Set<ByteName>();
  const names = [...splitAtNul(request)].map((name) => Buffer.from(name).toString('latin1').replace(/\/+$/, ''));
  const several = names.length > 1;
  for (const name of names) {
    const isRoot = name === '.' || name === '';
    if (!isRoot && !isPlainRelative(Buffer.from(name, 'latin1'))) continue;
    if (!isRoot) yield* onTheWayTo(name, told);
    for (const seen of walkFrom(isRoot ? '' : name)) {
      if (several) {
        if (told.has(seen.name)) continue;
        told.add(seen.name);
      }
      yield seen;
    }
  }
}

function* onTheWayTo(name: ByteName, told: Set<ByteName>): Generator<Seen> {
  for (let slash = name.indexOf('/'); slash > 0; slash = name.indexOf('/', slash + 1)) {
    const parent = `${name.slice(0, slash)}`;
    if (told.has(`${parent}/`)) continue;
    told.add(`${parent}/`);
    const stat = lookAt(parent);
    if (stat !== 'missing') yield { name: parent, stat, onTheWay: true };
  }
}

function* walkFrom(top: ByteName): Generator<Seen> {
  const stat = lookAt(top);
  if (stat === 'missing') return;
  yield { name: top, stat, onTheWay: false };
  if (stat?.isDirectory() !== true) return;
  // A stack of our own: a client decides how deep it is.
  const open: { directory: ByteName; entries: readonly Dirent[]; at: number }[] = [];
  const enter = (directory: ByteName): Seen | undefined => {
    try {
      const entries = readdirSync(placeOf(directory), { encoding: 'latin1', withFileTypes: true });
      open.push({ directory, entries, at: 0 });
      return undefined;
    } catch {
      return { name: directory, stat: undefined, onTheWay: false };
    }
  };
  const failed = enter(top);
  if (failed !== undefined) yield failed;
  for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
    const entry = level.entries[level.at];
    level.at += 1;
    if (entry === undefined) {
      open.pop();
      continue;
    }
    const name = level.directory === '' ? entry.name : `${level.directory}/${entry.name}`;
    const found = lookAt(name);
    // A snapshot does not change: what was listed and is not there is a disk that fails.
    yield { name, stat: found === 'missing' ? undefined : found, onTheWay: false };
    if (found === 'missing' || found?.isDirectory() !== true) continue;
    const unread = enter(name);
    if (unread !== undefined) yield unread;
  }
}

function placeOf(name: ByteName): Buffer {
  return Buffer.from(name === '' ? '.' : name, 'latin1');
}

function lookAt(name: ByteName): BigIntStats | 'missing' | undefined {
  try {
    return lstatSync(placeOf(name), { bigint: true });
  } catch (error) {
    return isMissing(error) ? 'missing' : undefined;
  }
}

async function recordsOf(batch: readonly Seen[]): Promise<Buffer> {
  const places = batch.filter(({ stat }) => stat !== undefined).map(({ name }) => placeOf(name));
  const attributes = await readAttributes(places, match);
  const records = batch.map((seen) => listRecord(entryOf(seen, attributes?.get(seen.name === '' ? '.' : seen.name))));
  return Buffer.from(records.join(''), 'latin1');
}

const none: Attributes = new Map();
const types: Readonly<Record<number, ListedType>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'link',
  0o010000: 'fifo',
  0o140000: 'socket',
  0o060000: 'block',
  0o020000: 'character',
};

function entryOf({ name, stat, onTheWay }: Seen, attributes: Attributes = none): ListedEntry {
  const nothing = { linkGroup: '', device: '', target: '', held: heldIn([]), attributes: '' };
  if (stat === undefined)
    return { name, type: 'unreadable', mode: null, uid: 0, gid: 0, sizeBytes: 0, mtimeNs: 0n, onTheWay, ...nothing };
  const hex = attributes.get('user.rsync.%stat');
  const recorded = hex === undefined ? undefined : Buffer.from(hex, 'hex').toString('latin1');
  const own = { mode: Number(stat.mode), uid: Number(stat.uid), gid: Number(stat.gid) };
  const fake = recorded === undefined ? own : parseFakeStat(recorded);
  const ownType = types[own.mode & 0o170000] ?? 'file';
  const type = fake === undefined ? ownType : (types[fake.mode & 0o170000] ?? ownType);
  const capability = attributes.get('user.rsync.security.capability');
  return {
    name,
    type,
    mode: fake === undefined ? null : fake.mode & 0o7777,
    uid: fake?.uid ?? 0,
    gid: fake?.gid ?? 0,
    sizeBytes: Number(stat.size),
    mtimeNs: stat.mtimeNs,
    linkGroup: stat.nlink > 1n && !stat.isDirectory() ? String(stat.ino) : '',
    device: type === 'block' || type === 'character' ? (recorded?.split(' ')[1] ?? '') : '',
    onTheWay,
    target: type === 'link' ? (readTarget(placeOf(name))?.toString('latin1') ?? '') : '',
    held: heldIn(attributes.keys()),
    attributes: attributesText(
      capability === undefined ? attributes : new Map([...attributes, ['security.capability', capability]]),
    ),
  };
}
