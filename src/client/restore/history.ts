import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { type Change, ChangesReplySchema, type NamedSnapshot } from '../../protocol/messages.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { ask } from '../remote.ts';
import type { Session } from '../session.ts';
import { snapshotOf, type Wish, wishedSnapshot } from './choice.ts';
import { parseMoment } from './moment.ts';
import { isPattern, meanings } from './names.ts';
import {
  findVersions,
  listSnapshots,
  noSnapshots,
  notFound,
  openRestoreSession,
  type RestoreDeps,
} from './versions.ts';

/** What changed between two snapshots. */
export interface Changed {
  readonly from: SnapshotName;
  readonly to: SnapshotName;
  /** How many paths, and the bytes of the files: what is new for `added` and `content`, what is gone for `removed`. */
  readonly totals: Readonly<Record<Change['change'], { readonly paths: number; readonly bytes: number }>>;
  /** The largest, in the order of their size; changes of attributes alone are only counted. */
  readonly largest: readonly Change[];
}

/** A path that was there and is gone. */
export interface Deleted {
  readonly path: string;
  /** The last that holds it. */
  readonly snapshot: SnapshotName;
  readonly sizeBytes: number;
}

export interface HistoryOptions {
  /** As a person types it; everything when there is none. */
  readonly path?: string;
  /** The later snapshot, by name or by time; the newest by default. */
  readonly snapshot?: string;
  readonly at?: string;
  /** The earlier snapshot: a name, or a time; the one before the later by default. */
  readonly since?: string;
}

/** How many changes are remembered. */
const shownChanges = 1000;

/** What made the backup grow: the changes between two snapshots. */
export async function listChanged(options: HistoryOptions, deps: RestoreDeps): Promise<Changed> {
  const session = openRestoreSession(deps, false);
  try {
    const snapshots = await listSnapshots(session);
    const { from, to } = between(options, snapshots, deps.clock.now());
    const totals = {
      added: { paths: 0, bytes: 0 },
      removed: { paths: 0, bytes: 0 },
      content: { paths: 0, bytes: 0 },
      attributes: { paths: 0, bytes: 0 },
    };
    let largest: Change[] = [];
    const path = await pathOf(options, session, deps);
    for await (const change of changesBetween(from, to, path, session)) {
      totals[change.change].paths += 1;
      if (change.change === 'attributes') continue;
      totals[change.change].bytes += weightOf(change);
      largest.push(change);
      if (largest.length >= 2 * shownChanges) largest = theLargest(largest);
    }
    return { from, to, totals, largest: theLargest(largest) };
  } finally {
    await session.close();
  }
}

function weightOf({ sizeBefore, sizeAfter }: Change): number {
  return sizeAfter ?? sizeBefore ?? 0;
}

function theLargest(changes: readonly Change[]): Change[] {
  return changes.toSorted((a, b) => weightOf(b) - weightOf(a)).slice(0, shownChanges);
}

/**
 * What is gone: paths that some snapshot holds and the newest does not, by name: the path itself, what is below it, and what a
 * pattern matches.
 * @throws BytebackError (usage) when no snapshot holds anything of that name.
 */
export async function listDeleted({ path }: { readonly path: string }, deps: RestoreDeps): Promise<Deleted[]> {
  const session = openRestoreSession(deps, false);
  try {
    const ways = meanings(path, deps.workingDirectory);
    // Of a pattern also what is below the directories that it matches.
    const asked = ways.some((way) => isPattern(way)) ? [path, `${path}/**`] : [path];
    const { snapshots, paths } = await findVersions({ paths: asked, all: true }, session, deps);
    const names = snapshots.map(({ snapshot }) => snapshot);
    const found = paths.filter(({ versions }) => versions.length > 0);
    // A person who mistypes a name must not read that nothing is gone.
    if (found.length === 0) throw notFound(paths[0] ?? { path: ways[0], versions: [] });
    const named = found.find((one) => ways.some((way) => way.equals(one.path)));
    const gone = new Map<string, Deleted>();
    for (const { path: each, versions } of named === undefined ? found : [named]) {
      const name = escapeName(each);
      const last = versions[0];
      if (last !== undefined && last.snapshot !== names.at(-1))
        gone.set(name, { path: name, snapshot: last.snapshot, sizeBytes: last.type === 'file' ? last.sizeBytes : 0 });
    }
    if (named?.versions.some(({ type }) => type === 'directory')) {
      for (const deleted of await goneBelow(escapeName(named.path), names, session)) gone.set(deleted.path, deleted);
    }
    return [...gone.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  } finally {
    await session.close();
  }
}

/** What is gone below one path. */
async function goneBelow(path: string, names: readonly SnapshotName[], session: Session): Promise<Deleted[]> {
  // From the newest backwards: what is met first of a path is what became of it in the end.
  const fates = new Map<string, Deleted | undefined>();
  for (let at = names.length - 1; at > 0; at -= 1) {
    const [from, to] = [names[at - 1] as SnapshotName, names[at] as SnapshotName];
    for await (const { path: name, change, sizeBefore } of changesBetween(from, to, path, session)) {
      if (fates.has(name)) continue;
      if (change === 'added') fates.set(name, undefined);
      if (change === 'removed') fates.set(name, { path: name, snapshot: from, sizeBytes: sizeBefore ?? 0 });
    }
  }
  return [...fates.values()].filter((fate) => fate !== undefined);
}

/** The path whose changes are asked for: as it is typed, when some snapshot has a name like that. */
async function pathOf({ path = '/' }: HistoryOptions, session: Session, deps: RestoreDeps): Promise<string> {
  const [literal, escaped] = meanings(path, deps.workingDirectory);
  if (escaped === undefined) return escapeName(literal);
  const { paths } = await findVersions({ paths: [path], all: true }, session, deps);
  return escapeName(paths[0]?.path ?? literal);
}

/** @throws BytebackError (usage) when there are no two snapshots to compare. */
function between(
  options: HistoryOptions,
  snapshots: readonly NamedSnapshot[],
  now: Date,
): { from: SnapshotName; to: SnapshotName } {
  const names = snapshots.map(({ snapshot }) => snapshot);
  const to =
    options.snapshot === undefined && options.at === undefined
      ? names.at(-1)
      : oneOf(options.snapshot, options.at, snapshots, now);
  if (to === undefined) throw noSnapshots();
  const from = options.since === undefined ? names[names.indexOf(to) - 1] : sinceWhich(options.since, snapshots, now);
  if (from !== undefined && from < to) return { from, to };
  throw new BytebackError('usage', {
    what: 'there is nothing to compare',
    why: from === undefined ? `${to} is the oldest snapshot` : `${from} is not older than ${to}`,
    fix: 'name an older one with --since, and a newer one with --snapshot',
  });
}

function oneOf(
  name: string | undefined,
  at: string | undefined,
  snapshots: readonly NamedSnapshot[],
  now: Date,
): SnapshotName | undefined {
  const wish: Wish =
    name === undefined ? { kind: 'at', time: parseMoment(at ?? '', now) } : wishedSnapshot(name, snapshots);
  return snapshotOf(wish, snapshots);
}

function sinceWhich(since: string, snapshots: readonly NamedSnapshot[], now: Date): SnapshotName | undefined {
  const isName = snapshots.some(({ snapshot }) => snapshot === since);
  return oneOf(isName ? since : undefined, since, snapshots, now);
}

/** All changes between two snapshots, page by page. */
async function* changesBetween(
  from: SnapshotName,
  to: SnapshotName,
  path: string,
  session: Session,
): AsyncGenerator<Change> {
  for (let after: string | undefined; ; ) {
    const request = { from, to, path, ...(after === undefined ? {} : { after }) };
    const page = await session.persist('later', (connection) =>
      ask(connection, 'changes', request, ChangesReplySchema, { signal: session.signal }),
    );
    yield* page.changes;
    if (page.next === undefined) return;
    after = page.next;
  }
}
