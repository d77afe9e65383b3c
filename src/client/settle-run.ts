import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { count, type Totals } from '../catalogue/changes.ts';
import { compareCatalogues, eachRecord } from '../catalogue/compare.ts';
import { entryNow } from '../catalogue/entry-now.ts';
import { keptBy } from '../catalogue/kept.ts';
import { entriesAt } from '../catalogue/part.ts';
import { type Entry, findTime, parentOf, parseRecord } from '../catalogue/record.ts';
import { openSource } from '../catalogue/scan.ts';
import type { Taken } from '../catalogue/taken.ts';
import { escapeName, unescapeName } from '../protocol/file-name.ts';
import { parseStored, type Stored } from '../protocol/stored.ts';
import { isWithin } from './mounts.ts';
import type { Plan } from './plan.ts';
import { namesOf, removeListed, writeList } from './send-changes.ts';
import {
  type Difference,
  lostFiles,
  type Mending,
  type Now,
  nameBehindTemporary,
  planMending,
  StoreComparison,
} from './settle.ts';
import { listAll, listNamed, type NamedList } from './store-list.ts';
import { type PassesEnd, separateListed, type TransferContext, together, transfer, type Unread } from './transfer.ts';

/** More unsettled paths than this are not worth remembering: everything is walked instead. */
export const mostUnsettled = 100_000;

/** With more paths than this all is listed: that costs no more. */
const mostNamed = 50_000;

/** What was sent, and how. */
export interface SentPaths {
  /** The paths that the run may have touched on the server; everything after a walk. */
  readonly scope: readonly string[] | 'everything';
  /** Those that were compared by content, because size and time do not tell. */
  readonly compared: readonly string[];
  /** Directories in which files were sent. */
  readonly directories: ReadonlySet<string>;
  /** Directories that could not be looked into: what the server has there is kept. */
  readonly hidden: readonly string[];
  readonly end: PassesEnd;
  readonly totals: Totals;
  /** What changed so shortly before the scan that it may change again without a new time. */
  readonly unsettled: readonly string[];
}

/** What is known of the store when a run's passes are over. */
export interface Settled {
  readonly status: 'ok' | 'partial';
  /** What could not be copied, and what was to come and did not. */
  readonly unread: Unread[];
  /** Paths at which the store is not known to have what the scan saw. */
  readonly unsettled: readonly string[];
  /** What the store has. */
  readonly totals: Totals;
  /** Why the scan must not become the catalogue. */
  readonly notKept?: string;
}

/**
 * Counts what came against what should have: the store's own list is compared with the scan. What differs though the client has
 * it as the scan saw it, and what the store has and the client has not, is put right at once; whatever differs then is unsettled,
 * and looked at again by its content at the next run. What a program said in passing only ever adds to that.
 */
export async function settle(
  context: TransferContext,
  plan: Plan,
  sent: SentPaths,
  workDirectory: string,
  ahead?: NamedList,
): Promise<Settled> {
  const { scan, taken } = plan;
  const ends = [sent.end];
  const refused = new Set(sent.end.unread.map(bytesOf));
  const unsettled = new Set([...sent.unsettled, ...refused]);
  const result = (totals: Totals, lost: readonly Unread[], notKept?: string): Settled => {
    const end = together(ends);
    for (const unread of end.unread) unsettled.add(bytesOf(unread));
    return {
      status: lost.length > 0 ? 'partial' : end.status,
      unread: [...uniqueByPath([...end.unread, ...lost])],
      unsettled: [...unsettled],
      totals,
      ...(notKept === undefined ? {} : { notKept }),
    };
  };
  if (taken === undefined) return result(sent.totals, []);
  if (!sent.end.isClean) {
    const again = sent.compared.filter((path) => !refused.has(path));
    const end = await compareAgain(context, again, workDirectory);
    ends.push(end);
    if (!end.isClean) for (const path of sent.compared) unsettled.add(path);
  }
  const isKept = keptBy(plan.kept);
  const isLeftAlone = (path: string) => isKept(path) || sent.hidden.some((place) => isWithin(path, place));
  const look = { context, plan, taken, isLeftAlone, workDirectory, wasCut: sent.end.wasCut };
  let scope = sent.end.wasCut || sent.scope.length > mostNamed ? 'everything' : sent.scope;
  let differences = await differencesIn({ ...look, ahead }, scope);
  if (scope !== 'everything' && differences?.some(reachesFurther)) {
    scope = 'everything';
    differences = await differencesIn(look, scope);
  }
  const cannotTell = 'the server did not list what it has';
  if (differences === undefined) return result(sent.totals, [], cannotTell);
  tellDifferences(context, differences);
  // What rsync could not copy it cannot copy now.
  const mendable = differences.filter(({ path }) => !refused.has(path));
  const mending = planMending(mendable, lookNow(mendable, scan.root));
  if (mending.send.length + mending.remove.length > 0) {
    context.log.info(`putting right ${mending.send.length + mending.remove.length} paths that changed during the run`);
    // What is in doubt stays in doubt if this ends halfway.
    ends.push(await mend(context, mending, workDirectory));
    differences = await differencesIn(look, scope);
    if (differences === undefined) return result(sent.totals, [], cannotTell);
  }
  const totals = { ...sent.totals };
  for (const { path, expected, stored } of differences) {
    unsettled.add(path);
    count(totals, expected, -1);
    count(totals, stored === undefined ? undefined : entryOf(stored), 1);
  }
  for (const path of perhapsOthers(sent, scan, taken)) unsettled.add(path);
  // An admin's own options may leave out what they like.
  const lost = (context.extraFlags.length > 0 ? [] : lostFiles(differences, lookNow(differences, scan.root)))
    .filter((path) => !refused.has(path))
    .map((path) => ({
      path: escapeName(Buffer.from(path, 'latin1')),
      why: 'it was sent, and the server does not have it',
    }));
  return result(totals, lost, unsettled.size > mostUnsettled ? 'too much changed while it was copied' : undefined);
}

/** Differences that are told to whoever debugs. */
const mostTold = 20;

function tellDifferences({ log }: TransferContext, differences: readonly Difference[]): void {
  if (differences.length === 0) return;
  const some = differences
    .slice(0, mostTold)
    .map(({ path, kind }) => `${kind} ${escapeName(Buffer.from(path, 'latin1'))}`);
  log.debug(`the server has something else at ${differences.length} paths: ${some.join(', ')}`);
}

/** Where a directory is not what it was, or names are linked otherwise, paths that were not looked at are affected too. */
function reachesFurther({ kind, expected, stored }: Difference): boolean {
  const isDirectory = expected?.type === 'd' || stored?.type === 'd';
  return kind === 'links' || (isDirectory && (kind !== 'other' || expected?.type !== stored?.type));
}

interface Look {
  readonly context: TransferContext;
  readonly plan: Plan;
  readonly taken: Taken;
  /** What the run keeps as the server has it. */
  readonly isLeftAlone: (path: string) => boolean;
  readonly workDirectory: string;
  readonly ahead?: NamedList | undefined;
  readonly wasCut: boolean;
}

/** Where the store has something else than the scan saw; undefined when the server cannot tell. */
async function differencesIn(look: Look, scope: SentPaths['scope']): Promise<readonly Difference[] | undefined> {
  const { context, plan, taken, workDirectory } = look;
  const comparison = new StoreComparison();
  const note = (entry: Entry | undefined, stored: Stored | undefined) => {
    if (look.isLeftAlone((entry ?? stored)?.path ?? '')) return;
    const expected = entry !== undefined && taken(entry.path, entry.type === 'd') ? entry : undefined;
    // What the run does not take may be in the store for reasons of its own.
    const counted = expected !== undefined || (stored !== undefined && isOurs(look, stored)) ? stored : undefined;
    comparison.note(expected, counted);
  };
  if (scope === 'everything') {
    const file = await listAll(context, workDirectory);
    if (file === undefined) return undefined;
    const [scanned, stored] = [openSource(plan.scan.file), openSource(file)];
    try {
      compareCatalogues(scanned.next, stored.next, {
        gone: (record) => note(parseRecord(record), undefined),
        added: (record) => note(undefined, parseStored(record)),
        changed: (record, storedRecord) => note(parseRecord(record), parseStored(storedRecord)),
      });
    } finally {
      scanned.close();
      stored.close();
    }
    return comparison.end();
  }
  if (scope.length === 0) return [];
  // The root is given to rsync as `.`, and that shows what lies directly in it, too.
  const names = namesOf(scope).map((name) => (name === '.' ? './' : name));
  const stored = await listNamed(context, names, look.ahead);
  if (stored === undefined) return undefined;
  const paths = new Set([...scope, ...stored.keys()]);
  const scanned = entriesAt(plan.scan.file, paths);
  for (const path of paths) note(scanned.get(path), stored.get(path));
  return comparison.end();
}

/** Whether something that only the store has lies where the run decides, or is what a receiver left that was cut. */
function isOurs({ taken, wasCut }: Look, { path, type }: Stored): boolean {
  if (taken(path, type === 'd')) return true;
  const behind = wasCut ? nameBehindTemporary(path) : undefined;
  return behind !== undefined && taken(behind, false);
}

/** What the client has now at the paths that differ. */
function lookNow(differences: readonly Difference[], root: string): (path: string) => Now {
  const expected = new Map(differences.map((difference) => [difference.path, difference.expected]));
  return (path) => {
    const scanned = expected.get(path);
    try {
      const found = entryNow(path, root);
      if (found === undefined) return 'gone';
      const { type, sizeBytes, mtime, ctime, inode } = found;
      return scanned !== undefined &&
        type === scanned.type &&
        sizeBytes === scanned.sizeBytes &&
        mtime === scanned.mtime &&
        ctime === scanned.ctime &&
        inode === scanned.inode
        ? 'as scanned'
        : 'other';
    } catch {
      return 'unknown';
    }
  };
}

/** One more pass over what can be put right at once. */
async function mend(
  context: TransferContext,
  { send, remove, separate }: Mending,
  workDirectory: string,
): Promise<PassesEnd> {
  const list = (name: string, paths: readonly string[]) => writeList(join(workDirectory, name), namesOf(paths));
  const ends: PassesEnd[] = [];
  if (separate.length > 0) await separateListed(context, await list('to-separate', separate));
  ends.push(await removeListed(context, remove, workDirectory));
  if (send.length > 0) {
    const paths = new Set(send.flatMap((path) => [path, parentOf(path)]));
    ends.push(await compareAgain(context, [...paths], workDirectory));
  }
  return together(ends);
}

async function compareAgain(
  context: TransferContext,
  paths: readonly string[],
  workDirectory: string,
): Promise<PassesEnd> {
  if (paths.length === 0) return together([]);
  const listFile = await writeList(join(workDirectory, 'again'), namesOf(paths));
  return await transfer(context, { kind: 'list', listFile, checksum: true }, workDirectory);
}

/**
 * Files that came from another directory than the scan saw, if a directory took another's place for a while: then size and time may
 * be the same by chance. A directory was perhaps renamed when its ctime and that of the one around it are new.
 */
function perhapsOthers({ directories, scope }: SentPaths, scan: Plan['scan'], taken: Taken): readonly string[] {
  const changed = new Map<string, boolean>();
  const isChanged = (path: string): boolean => {
    const known = changed.get(path) ?? isNewer(scan.root + path, scan.beganAt);
    changed.set(path, known);
    return known;
  };
  const moved = new Map<string, boolean>([['/', false]]);
  const isMoved = (path: string): boolean => {
    const known = moved.get(path) ?? (isMoved(parentOf(path)) || (isChanged(path) && isChanged(parentOf(path))));
    moved.set(path, known);
    return known;
  };
  const doubtful = new Set([...directories].filter(isMoved));
  if (doubtful.size === 0) return [];
  if (scope !== 'everything') return scope.filter((path) => doubtful.has(parentOf(path)));
  const paths: string[] = [];
  const source = openSource(scan.file);
  try {
    eachRecord(source.next, (record) => {
      const entry = parseRecord(record);
      if (entry?.type === 'f' && doubtful.has(parentOf(entry.path)) && taken(entry.path, false)) paths.push(entry.path);
    });
  } finally {
    source.close();
  }
  return paths;
}

/** What vanished has changed. */
function isNewer(path: string, seconds: number): boolean {
  try {
    return lstatSync(Buffer.from(path, 'latin1')).ctimeMs / 1000 >= seconds - 2;
  } catch {
    return true;
  }
}

function entryOf({ path, type, sizeBytes, mtime, inode, links }: Stored): Entry {
  return { path, type: type === 'd' ? 'd' : 'f', sizeBytes, mtime, ctime: findTime(0n), inode, links, rights: '' };
}

/** The path of a file that was not copied, as a byte string. */
function bytesOf({ path }: Unread): string {
  return unescapeName(path).toString('latin1');
}

function uniqueByPath(unread: readonly Unread[]): Iterable<Unread> {
  return new Map(unread.map((each) => [each.path, each])).values();
}
