import type { ClientConfig } from '../../config/client-config.ts';
import type { ClientPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { parseDestination, sshHost } from '../../protocol/destination.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import {
  FoundEndSchema,
  type FoundRow,
  FoundRowSchema,
  type NamedSnapshot,
  type SnapshotEntry,
  SnapshotsReplySchema,
  type Version,
  VersionsReplySchema,
} from '../../protocol/messages.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import type { Clock } from '../../system/clock.ts';
import { localConnection } from '../../system/local-session.ts';
import type { Log } from '../../system/log.ts';
import { askAndGoOn, askForRows, ServerFailure } from '../remote.ts';
import { openSession, type Session } from '../session.ts';
import {
  collectDifferent,
  type DifferentVersion,
  snapshotOf,
  type Wish,
  whereElse,
  wishedSnapshot,
  wishedVersions,
} from './choice.ts';
import { parseMoment } from './moment.ts';
import { isPattern, meanings, withPlainBackslashes } from './names.ts';

/** What both listing and restoring are told. */
export interface WhichVersions {
  /** As a person types them; see `absolutePath`. */
  readonly paths: readonly string[];
  /** A snapshot's name, or `latest`. */
  readonly snapshot?: string;
  /** A time, as `parseMoment` reads it. */
  readonly at?: string;
  /** Every different version, not only the newest. */
  readonly all: boolean;
}

/** What of the configuration counts for a restore. */
export type RestoreConfig = Pick<
  ClientConfig,
  'destination' | 'retryNumber' | 'retryDelayMs' | 'ioTimeoutMs' | 'bwlimit'
>;

export interface RestoreDeps {
  readonly config: RestoreConfig;
  /** On the server itself: the program, with its arguments, that answers there instead of ssh. */
  readonly local?: readonly [string, ...string[]];
  readonly paths: ClientPaths;
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly confirm: (question: string) => Promise<boolean>;
  /** Relative paths count from here, and results go there. */
  readonly workingDirectory: string;
}

/** One path that was asked for. */
export interface FoundPath {
  readonly path: Buffer;
  readonly versions: readonly DifferentVersion[];
  /** Set when there are none: where else it is, and what to do. */
  readonly elsewhere?: { readonly why: string; readonly fix?: string };
}

export interface Found {
  readonly snapshots: readonly NamedSnapshot[];
  /** The one snapshot that was asked for; undefined when each path has its own. */
  readonly snapshot: SnapshotName | undefined;
  readonly paths: readonly FoundPath[];
  /** Whether the server lists what a snapshot holds. */
  readonly lists: boolean;
}

/** A person waits: a lost connection is tried again sooner than in the night. */
const longestRetryDelayMs = 20_000;
/** The server takes no more at once. */
const pathsAtOnce = 100;

/** @param patient tries again when the server cannot be reached: for what is long; a listing fails at once. */
export function openRestoreSession(deps: RestoreDeps, patient: boolean): Session {
  const { config, paths, clock, signal, log } = deps;
  const target = { host: sshHost(parseDestination(config.destination)), configFile: paths.sshConfig };
  const limits = {
    retryNumber: patient ? config.retryNumber : 0,
    retryDelayMs: Math.min(config.retryDelayMs, longestRetryDelayMs),
  };
  const { local } = deps;
  const open = local === undefined ? {} : { open: async () => localConnection(local) };
  return openSession(target, { ...open, limits, clock, signal, log: { ...log, info: (text) => log.warn(text) } });
}

/** All snapshots of this machine, oldest first. */
export async function listSnapshots(session: Session): Promise<SnapshotEntry[]> {
  return (await askForSnapshots(session)).snapshots;
}

/** The same, and whether the server lists what a snapshot holds. */
export async function askForSnapshots(session: Session): Promise<{ snapshots: SnapshotEntry[]; lists: boolean }> {
  const { snapshots, lists = false } = await session.persist('later', (connection) =>
    askAndGoOn(connection, 'snapshots', undefined, SnapshotsReplySchema, session),
  );
  return { snapshots: snapshots.toSorted((a, b) => (a.snapshot < b.snapshot ? -1 : 1)), lists };
}

/** What a person's words mean. @throws BytebackError (usage) when they contradict each other or mean nothing. */
export function wishOf(options: WhichVersions, snapshots: readonly NamedSnapshot[], now: Date): Wish {
  if (options.snapshot !== undefined) return wishedSnapshot(options.snapshot, snapshots);
  if (options.at !== undefined) return { kind: 'at', time: parseMoment(options.at, now) };
  return { kind: options.all ? 'all' : 'newest' };
}

/** What is being looked for, while it is found. */
interface Finding {
  readonly snapshots: readonly NamedSnapshot[];
  readonly snapshot: SnapshotName | undefined;
  readonly lists: boolean;
  /** As it comes, some paths at a time: a pattern may match more than one wants to hold. */
  readonly found: AsyncIterable<readonly FoundPath[]>;
}

/** Looks up the versions of all paths. @throws BytebackError (usage) when the snapshot that is asked for does not exist. */
export async function findVersions(options: WhichVersions, session: Session, deps: RestoreDeps): Promise<Found> {
  const { found, ...finding } = await beginFinding(options, session, deps);
  const paths: FoundPath[] = [];
  for await (const some of found) for (const path of some) paths.push(path);
  return { ...finding, paths };
}

async function beginFinding(options: WhichVersions, session: Session, deps: RestoreDeps): Promise<Finding> {
  // What is wrong with the words is said before a connection is made.
  const typed = options.paths.map((path) => meanings(path, deps.workingDirectory));
  if (options.at !== undefined) parseMoment(options.at, deps.clock.now());
  const { snapshots, versions, lists } = await askForVersions(typed.flat(), session);
  const newest = snapshots.at(-1)?.snapshot;
  if (newest === undefined) throw noSnapshots();
  const wish = wishOf(options, snapshots, deps.clock.now());
  const snapshot = snapshotOf(wish, snapshots);
  const names = snapshots.map((entry) => entry.snapshot);
  return { snapshots, snapshot, lists, found: findEach() };

  async function* findEach(): AsyncGenerator<readonly FoundPath[]> {
    for (const ways of typed) {
      // A file may really be called so, whatever it looks like: that comes first.
      const path = ways.find((one) => versions.has(escapeName(one))) ?? (ways.at(-1) as Buffer);
      const ofPath = versions.get(escapeName(path)) ?? [];
      if (ofPath.length === 0 && isPattern(path)) {
        yield* matchesOf(patternsOf(ways), wish, { snapshot: snapshot ?? (newest as SnapshotName), names }, session);
        continue;
      }
      const wished = wishedVersions(wish, snapshot, ofPath, names);
      const elsewhere = wished.length > 0 ? {} : { elsewhere: whereElse(snapshot, ofPath, names) };
      yield [{ path, versions: wished, ...elsewhere }];
    }
  }
}

/** The patterns that a person may mean, in the order in which they are tried. */
function patternsOf(ways: readonly Buffer[]): readonly Buffer[] {
  const [literal, escaped = literal] = ways as readonly [Buffer, ...Buffer[]];
  return literal.includes('\\') ? [withPlainBackslashes(literal), escaped] : [escaped];
}

/** What patterns mean: all that the first of them matches that matches anything. */
async function* matchesOf(
  patterns: readonly Buffer[],
  wish: Wish,
  where: { snapshot: SnapshotName; names: readonly SnapshotName[] },
  session: Session,
): AsyncGenerator<readonly FoundPath[]> {
  for (const [at, pattern] of patterns.entries()) {
    let isFound = false;
    for await (const some of matchesOfOne(pattern, wish, where, session)) {
      const found = some.filter(({ versions }) => versions.length > 0);
      isFound ||= found.length > 0;
      if (isFound || at === patterns.length - 1) yield some;
    }
    if (isFound) return;
  }
}

/** All that matches in one snapshot; or, when all versions are wished for, in any. */
async function* matchesOfOne(
  pattern: Buffer,
  wish: Wish,
  { snapshot, names }: { snapshot: SnapshotName; names: readonly SnapshotName[] },
  session: Session,
): AsyncGenerator<readonly FoundPath[]> {
  let isFound = false;
  if (wish.kind === 'all') {
    const different = collectDifferent();
    for (const [at, name] of names.entries()) {
      for await (const rows of findMatches(pattern, name, session))
        for (const row of rows) different.add({ ...row, snapshot: name }, at);
    }
    const found = [...different.result()].toSorted(([a], [b]) => (a < b ? -1 : 1));
    isFound = found.length > 0;
    yield found.map(([path, versions]) => ({ path: unescapeName(path), versions }));
  } else {
    for await (const rows of findMatches(pattern, snapshot, session)) {
      isFound = true;
      yield rows.map((row) => ({ path: unescapeName(row.path), versions: [{ ...row, snapshot }] }));
    }
  }
  if (!isFound) yield [nothingMatches(pattern, wish.kind === 'all' ? 'any snapshot' : snapshot)];
}

function nothingMatches(path: Buffer, where: string): FoundPath {
  return {
    path,
    versions: [],
    elsewhere: {
      why: `nothing in ${where} matches it`,
      fix: 'with --all, every snapshot is looked through; ** stands for directories at any depth',
    },
  };
}

/** All that matches in one snapshot, as it comes; what is cut goes on after the last that came. */
async function* findMatches(pattern: Buffer, snapshot: SnapshotName, session: Session): AsyncGenerator<FoundRow[]> {
  for (let after: string | undefined; ; ) {
    const request = { snapshot, patterns: [escapeName(pattern)], ...(after === undefined ? {} : { after }) };
    const schemas = { row: FoundRowSchema, end: FoundEndSchema };
    const from = after;
    const [answer, first] = await session.persist('later', async (connection) => {
      const begun = askForRows(connection, 'find', request, schemas, session);
      return [begun, await begun.next()] as const;
    });
    let next = first;
    for (; next.done !== true; next = await answer.next()) {
      after = next.value.at(-1)?.path ?? after;
      yield next.value;
    }
    if (next.value.cut !== true) return;
    if (after === from) {
      throw new BytebackError('refused', {
        what: `looking for ${escapeName(pattern)} took too long`,
        fix: 'name a directory in which to look: what stands before the first star',
      });
    }
  }
}

/** The versions of some paths in all snapshots, by path, and the snapshots, oldest first. */
export async function askForVersions(
  paths: readonly Buffer[],
  session: Session,
): Promise<{ snapshots: NamedSnapshot[]; versions: Map<string, Version[]>; lists: boolean }> {
  const byPath = new Map<string, Version[]>();
  let snapshots: NamedSnapshot[] = [];
  let lists = false;
  let atOnce = pathsAtOnce;
  for (let from = 0; from < paths.length; ) {
    const request = { paths: paths.slice(from, from + atOnce).map((path) => escapeName(path)) };
    const reply = await session
      .persist('later', (connection) => askAndGoOn(connection, 'versions', request, VersionsReplySchema, session))
      .catch((error: unknown) => {
        // The answer would be too large.
        if (error instanceof ServerFailure && error.exit === 'usage' && request.paths.length > 1) return undefined;
        throw error;
      });
    if (reply === undefined) {
      atOnce = Math.ceil(request.paths.length / 2);
      continue;
    }
    for (const version of reply.versions) {
      const known = byPath.get(version.path);
      if (known === undefined) byPath.set(version.path, [version]);
      else known.push(version);
    }
    snapshots = reply.snapshots.toSorted((a, b) => (a.snapshot < b.snapshot ? -1 : 1));
    lists = reply.lists ?? false;
    from += request.paths.length;
  }
  return { snapshots, versions: byPath, lists };
}

export function noSnapshots(): BytebackError {
  return new BytebackError('usage', {
    what: 'there is nothing to restore',
    why: 'no snapshot of this machine exists yet',
    fix: 'make one: byteback-backup --verbose',
  });
}

/** The error for paths of which there is nothing. */
export function notFound({ path, elsewhere }: FoundPath): BytebackError {
  return new BytebackError('usage', { what: `no version of ${escapeName(path)}`, ...elsewhere });
}

/**
 * Lists versions, as they are found.
 * @returns what was not found.
 * @throws BytebackError (usage) when not one of the paths was found.
 */
export async function listVersions(
  options: WhichVersions,
  deps: RestoreDeps,
  show: (versions: readonly DifferentVersion[], snapshot: SnapshotName | undefined) => void,
): Promise<FoundPath[]> {
  const session = openRestoreSession(deps, false);
  try {
    const { found, snapshot } = await beginFinding(options, session, deps);
    const missing: FoundPath[] = [];
    let isAny = false;
    for await (const some of found) {
      missing.push(...some.filter(({ versions }) => versions.length === 0));
      const versions = some.flatMap((path) => path.versions);
      isAny ||= versions.length > 0;
      show(versions, snapshot);
    }
    if (missing[0] !== undefined && !isAny) throw notFound(missing[0]);
    return missing;
  } finally {
    await session.close();
  }
}
