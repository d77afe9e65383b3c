import { lstatSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Change, changeOf, count, planSending, type SendPlan, type Totals } from '../catalogue/changes.ts';
import { compareCatalogues, eachRecord } from '../catalogue/compare.ts';
import { changesAfter, findMoves, type Move } from '../catalogue/moves.ts';
import { type Entry, parseRecord } from '../catalogue/record.ts';
import { isOrderable, openSource, type Scan } from '../catalogue/scan.ts';
import type { Catalogue } from '../catalogue/store.ts';
import type { Taken } from '../catalogue/taken.ts';
import { isMissing } from '../system/files.ts';
import { blockSizeFor } from '../system/rsync.ts';

/** Files from this size on are sent in place when they have one name here and there. */
const largeBytes = 1024 * 1024;

/** With more changes than this a full walk costs no more, and less memory. */
const mostChanges = 400_000;

/** What changed this shortly before a scan began could change again without a new time. */
const settlingSeconds = 2;

/** More unsettled paths than this are not worth remembering. */
const mostUnsettled = 100_000;

/** What a run sends when it knows what the server has. */
export interface ChangePlan {
  readonly totals: Totals;
  readonly moves: readonly Move[];
  readonly send: SendPlan;
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
  const seen = new Set<string>();
  const unsettledBefore = new Set(catalogue.unsettled);
  const unsettled: string[] = [];
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
    if (change.after !== undefined && isUnsettled(change.after, scan)) unsettled.push(path);
    count(totals, change.before, -1);
    count(totals, change.after, 1);
    changes.push(change);
    if (unsettledBefore.has(path)) seen.add(path);
    if (changes.length > mostChanges) why = `more than ${mostChanges} files and directories changed`;
  };
  const [before, after] = [openSource(catalogue.file), openSource(scan.file)];
  try {
    compareCatalogues(before.next, after.next, {
      gone: (record) => note(record, undefined),
      added: (record) => note(undefined, record),
      changed: (oldRecord, newRecord) => note(oldRecord, newRecord),
    });
  } finally {
    before.close();
    after.close();
  }
  if (why !== undefined) return { why };
  for (const path of catalogue.unsettled) {
    if (isKept(path)) unsettled.push(path);
    // Of what is left out not even the mount point is looked at: that alone can wait for ever.
    if (isKept(path) || seen.has(path) || !(taken(path, false) || taken(path, true))) continue;
    const entry = statEntry(path, scan.root);
    if (entry === undefined || !taken(path, entry.type === 'd')) continue;
    // As if its time had changed: it is compared by checksum.
    changes.push({ path, before: { ...entry, ctime: '' }, after: entry });
    if (isUnsettled(entry, scan)) unsettled.push(path);
  }
  const touched = changes.filter(({ after }) => after?.type === 'f').map(({ path }) => path);
  const moves = findMoves(changes);
  const left = changesAfter(changes, moves);
  const send = planSending([...left, ...otherNames(left, scan, taken)], { fromBytes: largeBytes, blockSizeFor });
  const differing = changes.filter(({ before }) => before !== undefined).map(({ path }) => path);
  const added = changes.filter(({ before }) => before === undefined).map(({ path }) => path);
  return { totals, moves, send, touched, differing, added, unsettled };
}

/**
 * The names of files with several names of which a new one has to be sent: rsync can only link what it is given together. As
 * a rule all names have a new ctime and are there already; not when just the directory of one of them was renamed.
 */
function otherNames(left: readonly Change[], scan: Scan, taken: Taken): Change[] {
  const listed = new Map<string, number>();
  const wanted = new Set<string>();
  const paths = new Set<string>();
  for (const { path, before, after } of left) {
    if (after?.type !== 'f' || after.links < 2) continue;
    paths.add(path);
    listed.set(after.inode, (listed.get(after.inode) ?? 0) + 1);
    if (before?.inode !== after.inode) wanted.add(after.inode);
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

/** What now stands at a path, as far as it matters for how it is sent. */
function statEntry(path: string, root: string): Entry | undefined {
  try {
    const stats = lstatSync(Buffer.from(root + path, 'latin1'), { bigint: true });
    const type = stats.isFile() ? 'f' : stats.isDirectory() ? 'd' : 'o';
    return {
      path,
      type,
      sizeBytes: Number(stats.size),
      mtime: String(stats.mtimeNs),
      ctime: String(Number(stats.ctimeNs) / 1e9),
      inode: String(stats.ino),
      links: Number(stats.nlink),
      rights: '',
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
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
        changedBytes += Math.round(entry.sizeBytes / Math.max(1, entry.links));
      }
      if (taken === undefined || entry.links !== 1 || entry.sizeBytes < largeBytes) return;
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
  if (unsettled.length > mostUnsettled) notKept ??= 'too much changed just before the scan';
  const lists = [...large].map(([blockSizeBytes, { path, files }]) => ({ blockSizeBytes, path, files }));
  return {
    totals,
    changedBytes,
    large: lists.sort((a, b) => a.blockSizeBytes - b.blockSizeBytes),
    unsettled,
    ...(notKept === undefined ? {} : { notKept }),
  };
}
