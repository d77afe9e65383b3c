import { join, resolve } from 'node:path';
import { escapeName } from '../../protocol/file-name.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import type { Session } from '../session.ts';
import { snapshotOf } from './choice.ts';
import { everything, relativeToRoot } from './names.ts';
import type { Failed } from './pull.ts';
import { markOf, type Target } from './target.ts';
import {
  askForSnapshots,
  type Found,
  findVersions,
  noSnapshots,
  notFound,
  type RestoreDeps,
  type WhichVersions,
  wishOf,
} from './versions.ts';

/** What to restore, where to, and how carefully. */
export interface RestoreOptions extends WhichVersions {
  /** Everything in one snapshot; `paths` is empty then. */
  readonly allFiles: boolean;
  /** The tree is built below this directory; `./SNAPSHOT` by default. */
  readonly to?: string;
  /** To where it was. */
  readonly inPlace: boolean;
  /** Replaces what is there for good. */
  readonly overwrite: boolean;
  readonly yes: boolean;
  /** Reads what was written once more, and compares it with the server's checksums. */
  readonly verify: boolean;
  /** Also device nodes, setuid and setgid bits and capabilities, where they are left out otherwise: on the server. */
  readonly privileged: boolean;
}

/** What is taken from where, and where to. */
export interface TargetPlan {
  readonly targets: readonly Target[];
  readonly missing: readonly Failed[];
  /** Undefined when a directory is among it. */
  readonly expectedBytes: number | undefined;
  readonly lists: boolean;
}

/** Which snapshot each path is taken from, and where it goes. */
export async function planTargets(options: RestoreOptions, session: Session, deps: RestoreDeps): Promise<TargetPlan> {
  if (options.allFiles || options.paths.length === 0) {
    const { snapshots, lists } = await askForSnapshots(session);
    if (snapshots.length === 0) throw noSnapshots();
    const newest = snapshots.at(-1)?.snapshot;
    const snapshot = snapshotOf(wishOf(options, snapshots, deps.clock.now()), snapshots) ?? newest;
    if (snapshot === undefined) throw noSnapshots();
    const directory = directoryFor(options, snapshot, false, deps);
    const target = await asBegun({ directory, snapshot, names: [everything] }, snapshots, options, deps);
    return { targets: [target], missing: [], expectedBytes: undefined, lists };
  }
  const found = await findVersions(options, session, deps);
  const none = found.paths.filter(({ versions }) => versions.length === 0);
  if (none[0] !== undefined && none.length === found.paths.length) throw notFound(none[0]);
  const missing = none.map(({ path, elsewhere }) => ({ path: escapeName(path), why: elsewhere?.why ?? 'not found' }));
  sayWhatIsOld(found, deps);
  const bySnapshot = new Map<SnapshotName, Buffer[]>();
  let expectedBytes: number | undefined = 0;
  for (const { path, versions } of found.paths) {
    for (const { snapshot, type, sizeBytes } of versions) {
      bySnapshot.set(snapshot, [...(bySnapshot.get(snapshot) ?? []), relativeToRoot(path)]);
      expectedBytes = expectedBytes === undefined || type === 'directory' ? undefined : expectedBytes + sizeBytes;
    }
  }
  const targets: Target[] = [...bySnapshot].map(([snapshot, names]) => ({
    directory: directoryFor(options, snapshot, options.all && bySnapshot.size > 1, deps),
    snapshot,
    names,
  }));
  const [only, ...others] = targets;
  if (only !== undefined && others.length === 0) targets[0] = await asBegun(only, found.snapshots, options, deps);
  return { targets, missing, expectedBytes, lists: found.lists };
}

/** Where "the newest" has become another one since the same command was cut, it goes on with that which it began with. */
async function asBegun(
  target: Target,
  snapshots: readonly { readonly snapshot: SnapshotName }[],
  options: RestoreOptions,
  { paths, log }: RestoreDeps,
): Promise<Target> {
  const isNewest = options.snapshot === undefined || options.snapshot === 'latest';
  if (!isNewest || options.at !== undefined || options.all || options.inPlace) return target;
  const begun = await markOf(target, paths.stateDir).otherSnapshot();
  if (begun === undefined || !snapshots.some(({ snapshot }) => snapshot === begun)) return target;
  log.warn(`going on with ${begun}, which this restore was begun with; ${target.snapshot} is newer`);
  return { ...target, snapshot: begun };
}

/** A path that is gone from the newest snapshot comes from an older one: a person should know. */
function sayWhatIsOld(found: Found, { log }: RestoreDeps): void {
  const newest = found.snapshots.at(-1)?.snapshot;
  for (const { path, versions } of found.paths) {
    const version = versions[0];
    if (found.snapshot !== undefined || version === undefined || version.snapshot === newest) continue;
    log.warn(`${escapeName(path)} is not in the newest snapshot; the last that holds it is ${version.snapshot}`);
  }
}

/** The directory that the tree of a snapshot is built below. */
export function directoryFor(
  options: RestoreOptions,
  snapshot: SnapshotName,
  several: boolean,
  deps: RestoreDeps,
): string {
  if (options.inPlace) return '/';
  const to = resolve(deps.workingDirectory, options.to ?? '.');
  return options.to === undefined || several ? join(to, snapshot) : to;
}
