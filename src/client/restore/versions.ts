import type { ClientConfig } from '../../config/client-config.ts';
import type { ClientPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { parseDestination, sshHost } from '../../protocol/destination.ts';
import { escapeName } from '../../protocol/file-name.ts';
import {
  type SnapshotEntry,
  SnapshotsReplySchema,
  type Version,
  VersionsReplySchema,
} from '../../protocol/messages.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { ask } from '../remote.ts';
import { openSession, type Session } from '../session.ts';
import { type DifferentVersion, snapshotOf, type Wish, whereElse, wishedSnapshot, wishedVersions } from './choice.ts';
import { parseMoment } from './moment.ts';
import { absolutePath } from './names.ts';

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

export interface RestoreDeps {
  readonly config: ClientConfig;
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
  readonly snapshots: readonly SnapshotEntry[];
  /** The one snapshot that was asked for; undefined when each path has its own. */
  readonly snapshot: SnapshotName | undefined;
  readonly paths: readonly FoundPath[];
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
  return openSession(target, { limits, clock, signal, log: { ...log, info: (text) => log.warn(text) } });
}

/** All snapshots of this machine, oldest first. */
export async function listSnapshots(session: Session): Promise<SnapshotEntry[]> {
  const { snapshots } = await session.persist('later', (connection) =>
    ask(connection, 'snapshots', undefined, SnapshotsReplySchema, { signal: session.signal }),
  );
  return snapshots.toSorted((a, b) => (a.snapshot < b.snapshot ? -1 : 1));
}

/** What a person's words mean. @throws BytebackError (usage) when they contradict each other or mean nothing. */
export function wishOf(options: WhichVersions, snapshots: readonly SnapshotEntry[], now: Date): Wish {
  if (options.snapshot !== undefined) return wishedSnapshot(options.snapshot, snapshots);
  if (options.at !== undefined) return { kind: 'at', time: parseMoment(options.at, now) };
  return { kind: options.all ? 'all' : 'newest' };
}

/** Looks up the versions of all paths. @throws BytebackError (usage) when the snapshot that is asked for does not exist. */
export async function findVersions(options: WhichVersions, session: Session, deps: RestoreDeps): Promise<Found> {
  // What is wrong with the words is said before a connection is made.
  const paths = options.paths.map((path) => absolutePath(path, deps.workingDirectory));
  if (options.at !== undefined) parseMoment(options.at, deps.clock.now());
  const snapshots = await listSnapshots(session);
  if (snapshots.length === 0) throw noSnapshots();
  const wish = wishOf(options, snapshots, deps.clock.now());
  const snapshot = snapshotOf(wish, snapshots);
  const versions = await askForVersions(paths, session);
  const names = snapshots.map((entry) => entry.snapshot);
  return {
    snapshots,
    snapshot,
    paths: paths.map((path) => {
      const ofPath = versions.get(escapeName(path)) ?? [];
      const wished = wishedVersions(wish, snapshot, ofPath, names);
      return {
        path,
        versions: wished,
        ...(wished.length > 0 ? {} : { elsewhere: whereElse(snapshot, ofPath, names) }),
      };
    }),
  };
}

async function askForVersions(paths: readonly Buffer[], session: Session): Promise<Map<string, Version[]>> {
  const byPath = new Map<string, Version[]>();
  for (let from = 0; from < paths.length; from += pathsAtOnce) {
    const request = { paths: paths.slice(from, from + pathsAtOnce).map((path) => escapeName(path)) };
    const { versions } = await session.persist('later', (connection) =>
      ask(connection, 'versions', request, VersionsReplySchema, { signal: session.signal }),
    );
    for (const version of versions) byPath.set(version.path, [...(byPath.get(version.path) ?? []), version]);
  }
  return byPath;
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

/** Lists versions. @throws BytebackError (usage) when not one of the paths was found. */
export async function listVersions(options: WhichVersions, deps: RestoreDeps): Promise<Found> {
  const session = openRestoreSession(deps, false);
  try {
    const found = await findVersions(options, session, deps);
    const missing = found.paths.filter(({ versions }) => versions.length === 0);
    if (missing[0] !== undefined && missing.length === found.paths.length) throw notFound(missing[0]);
    return found;
  } finally {
    await session.close();
  }
}
