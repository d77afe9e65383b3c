import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Change, changeOf, count, planSending, type SendPlan, type Totals } from '../catalogue/changes.ts';
import { compareCatalogues, eachRecord } from '../catalogue/compare.ts';
import { translated, translation } from '../catalogue/devices.ts';
import { changesAfter, findMoves, type Move, placesAfter } from '../catalogue/moves.ts';
import { entriesAt } from '../catalogue/part.ts';
import { type Entry, parentOf, parseRecord } from '../catalogue/record.ts';
import { isOrderable, openSource, type Scan } from '../catalogue/scan.ts';
import type { Catalogue } from '../catalogue/store.ts';
import type { Taken } from '../catalogue/taken.ts';
import { blockSizeFor } from '../system/rsync.ts';

/** Files from this size on are sent in place when they have one name here and there. */
const largeBytes = 1024 * 1024;

/** With more changes than this a full walk costs no more, and less memory. */
const mostChanges = 400_000;

/** What changed this shortly before a scan began could change again without a new time. */
const settlingSeconds = 2;

/** What a run sends when it knows what the server has. */
export interface ChangePlan {
  readonly totals: Totals;
  readonly moves: readonly Move[];
  readonly send: SendPlan;
  /** Every path that differs when the moves are replayed. */
  readonly left: readonly string[];
  /** Every file that differs in anything from what it was, moved or not: what is compared by checksum in a full walk. */
  readonly touched: readonly string[];
  /** Every path that was there before and differs in anything from what it was, moved or not. */
  readonly differing: readonly string[];
  /** Every path that was not there before. */
  readonly added: readonly string[];
  readonly unsettled: readonly string[];
}

/** Why the changes since a catalogue cannot be told. */
export interface NoChangePlan {
  readonly why: string;
}

/**
 * Compares a scan with the catalogue of an earlier run.
 * @param isKept what the store keeps as it has it; nothing of it is sent or deleted
 */
export function planChanges(
  scan: Scan,
  taken: Taken,
  catalogue: Catalogue,
  isKept: (path: string) => boolean = () => false,
): ChangePlan | NoChangePlan {
  const totals: Totals = { files: catalogue.files, bytes: catalogue.bytes };
  const changes: Change[] = [];
  let why: string | undefined;
  const note = (oldRecord: string | undefined, newRecord: string | undefined) => {
    if (why !== undefined) return;
    const before = oldRecord === undefined ? undefined : parseRecord(oldRecord);
    const after = newRecord === undefined ? undefined : parseRecord(newRecord);
    if ((oldRecord !== undefined && before === undefined) || (newRecord !== undefined && after === undefined)) {
      why = 'the catalogue holds what is no record';
      return;
    }
    const path = (before ?? after)?.path ?? '';
    if (!isOrderable(path)) why = 'a file name holds a byte that cannot be put in order';
    if (isKept(path)) return;
    const change = changeOf(taken, before, after);
    if (change === undefined) return;
    count(totals, change.before, -1);
    count(totals, change.after, 1);
    changes.push(change);
    if (changes.length > mostChanges) why = `more than ${mostChanges} files and directories changed`;
  };
  const [before, after] = [openSource(catalogue.file), openSource(scan.file)];
  const translate = translation(catalogue.devices, scan.devices);
  const old = translate === undefined ? before.next : translated(before.next, translate);
  try {
    compareCatalogues(old, after.next, {
      gone: (record) => note(record, undefined),
      added: (record) => note(undefined, record),
      changed: (oldRecord, newRecord) => note(oldRecord, newRecord),
    });
  } finally {
    before.close();
    after.close();
  }
  if (why !== undefined) return { why };
  const moves = findMoves(changes, new Set(catalogue.unsettled));
  const doubts = placesAfter(catalogue.unsettled, moves);
  const left = withDoubts(
    changesAfter(changes, moves),
    doubts.filter((path) => !isKept(path)),
    scan,
    taken,
  );
  const all = [...changes, ...left.filter(({ doubtful }) => doubtful)];
  const fresh = all.filter(({ after }) => after !== undefined && isUnsettled(after, scan));
  const send = planSending([...left, ...otherNames(left, scan, taken)], {
    fromBytes: largeBytes,
    blockSizeFor,
    sparse: scan.sparse,
  });
  const pathsOf = (some: readonly Change[]) => [...new Set(some.map(({ path }) => path))];
  return {
    totals,
    moves,
    send,
    left: pathsOf(left),
    touched: pathsOf(all.filter(({ after }) => after?.type === 'f')),
    differing: pathsOf(all.filter(({ before }) => before !== undefined)),
    added: pathsOf(changes.filter(({ before }) => before === undefined)),
    unsettled: [...new Set([...pathsOf(fresh), ...doubts.filter(isKept)])],
  };
}

/**
 * The changes, and besides what the last run left unsettled: it is compared by content where the client has it, and deleted on the
 * server where it has not.
 */
function withDoubts(left: readonly Change[], unsettled: readonly string[], scan: Scan, taken: Taken): Change[] {
  if (unsettled.length === 0) return [...left];
  const doubts = new Set(unsettled);
  const known = new Set(left.map(({ path }) => path));
  const asked = new Set(unsettled.flatMap((path) => [path, parentOf(path)]));
  const scanned = entriesAt(scan.file, asked);
  const changes = left.map((change) => (doubts.has(change.path) ? { ...change, doubtful: true } : change));
  for (const path of doubts) {
    if (known.has(path)) continue;
    const entry = scanned.get(path);
    if (entry !== undefined) {
      if (taken(path, entry.type === 'd')) changes.push({ path, before: entry, after: entry, doubtful: true });
      continue;
    }
    // rsync deletes along what lay in a directory that is none any more, and complains of a path through a file.
    if (scanned.get(parentOf(path))?.type !== 'd' || !(taken(path, false) || taken(path, true))) continue;
    changes.push({ path, before: { ...nothingKnown, path }, doubtful: true });
  }
  return changes;
}

/** Something that the server has at a path, and the scan has not. */
const nothingKnown = { type: 'f', sizeBytes: 0, mtime: '', ctime: '', inode: '', links: 1, rights: '' } as const;

/**
 * The names of files with several names of which a new one has to be sent: rsync can only link what it is given together. As
 * a rule all names have a new ctime and are there already; not when just the directory of one of them was renamed.
 */
function otherNames(left: readonly Change[], scan: Scan, taken: Taken): Change[] {
  const listed = new Map<string, number>();
  const wanted = new Set<string>();
  const paths = new Set<string>();
  for (const { path, before, after, doubtful } of left) {
    if (after?.type !== 'f' || after.links < 2) continue;
    paths.add(path);
    listed.set(after.inode, (listed.get(after.inode) ?? 0) + 1);
    if (doubtful || before?.inode !== after.inode) wanted.add(after.inode);
  }
  for (const { after } of left) {
    if (after !== undefined && (listed.get(after.inode) ?? 0) >= after.links) wanted.delete(after.inode);
  }
  if (wanted.size === 0) return [];
  const others: Change[] = [];
  const source = openSource(scan.file);
  try {
    eachRecord(source.next, (record) => {
      const entry = parseRecord(record);
      if (entry?.type !== 'f' || entry.links < 2 || !wanted.has(entry.inode) || paths.has(entry.path)) return;
      if (taken(entry.path, false)) others.push({ path: entry.path, before: { ...entry, ctime: '' }, after: entry });
    });
  } finally {
    source.close();
  }
  return others;
}

function isUnsettled(entry: Entry, scan: Scan): boolean {
  return Number(entry.ctime) >= scan.beganAt - settlingSeconds;
}

/** Large files of one block size, as a file of NUL-separated paths relative to the root. */
export interface LargeFileList {
  readonly blockSizeBytes: number;
  readonly path: string;
  readonly files: number;
}

/** What a full walk needs to know beforehand. */
export interface WalkPlan {
  readonly totals: Totals;
  /** Bytes of files that changed since a time, or of all. */
  readonly changedBytes: number;
  readonly large: readonly LargeFileList[];
  /** Large files with holes and one name. */
  readonly sparse: readonly string[];
  readonly unsettled: readonly string[];
  /** Why the scan cannot be kept as a catalogue. */
  readonly notKept?: string;
}

/**
 * Goes through a scan once. Without rules that can be expressed nothing is known of single files: everything is counted,
 * and no large file is listed.
 */
export async function planWalk(
  scan: Scan,
  taken: Taken | undefined,
  { changedSince, workDirectory }: { changedSince: number | undefined; workDirectory: string },
  isKept: (path: string) => boolean = () => false,
): Promise<WalkPlan> {
  const totals: Totals = { files: 0, bytes: 0 };
  const large = new Map<number, { path: string; files: number; waiting: string[] }>();
  const unsettled: string[] = [];
  const sparse: string[] = [];
  let changedBytes = 0;
  let notKept = scan.incomplete ?? (taken === undefined ? 'the rules can only be understood by rsync' : undefined);
  const source = openSource(scan.file);
  const flush = async () => {
    for (const list of large.values())
      await appendFile(list.path, Buffer.from(list.waiting.splice(0).join(''), 'latin1'));
  };
  try {
    let waiting = 0;
    const visit = (record: string) => {
      const entry = parseRecord(record);
      if (entry === undefined) return;
      if (!isOrderable(entry.path)) notKept ??= 'a file name holds a byte that cannot be put in order';
      if (taken !== undefined && !taken(entry.path, entry.type === 'd')) return;
      if (isUnsettled(entry, scan)) unsettled.push(entry.path);
      count(totals, entry, 1);
      if (entry.type !== 'f' || isKept(entry.path)) return;
      if (changedSince === undefined || Number(entry.ctime) >= changedSince) {
        const takenBytes = scan.sparse.get(entry.path)?.allocatedBytes ?? entry.sizeBytes;
        changedBytes += Math.round(takenBytes / Math.max(1, entry.links));
      }
      if (taken === undefined || entry.links !== 1 || entry.sizeBytes < largeBytes) return;
      if (scan.sparse.has(entry.path)) sparse.push(entry.path);
      const blockSizeBytes = blockSizeFor(entry.sizeBytes);
      const list = large.get(blockSizeBytes) ?? {
        path: join(workDirectory, `large-${blockSizeBytes}`),
        files: 0,
        waiting: [],
      };
      large.set(blockSizeBytes, list);
      list.files += 1;
      list.waiting.push(`${entry.path.slice(1)}\0`);
      waiting += 1;
    };
    eachRecord(source.next, visit);
    if (waiting > 0) await flush();
  } finally {
    source.close();
  }
  const lists = [...large].map(([blockSizeBytes, { path, files }]) => ({ blockSizeBytes, path, files }));
  return {
    totals,
    changedBytes,
    large: lists.sort((a, b) => a.blockSizeBytes - b.blockSizeBytes),
    sparse,
    unsettled,
    ...(notKept === undefined ? {} : { notKept }),
  };
}
