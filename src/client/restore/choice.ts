import { format } from 'date-fns/format';
import { BytebackError } from '../../errors.ts';
import type { NamedSnapshot, Version } from '../../protocol/messages.ts';
import { parseSnapshotName, type SnapshotName, snapshotTime } from '../../protocol/names.ts';

/** One version of a path, with all the snapshots that hold it. */
export interface DifferentVersion extends Version {
  /** The newest snapshot that holds it is `snapshot`; this is the oldest of the unbroken row before it, where it is known. */
  readonly oldest?: SnapshotName;
}

/** Whether two snapshots hold the same thing: everything that a listing shows, and the time to the nanosecond. */
function isSame(a: Version, b: Version): boolean {
  return (
    a.type === b.type &&
    a.sizeBytes === b.sizeBytes &&
    a.mtime === b.mtime &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.target === b.target
  );
}

/**
 * The different versions of one path, the newest first. A path that came back after it was gone is two versions.
 * @param snapshots all there are, oldest first: they show where the path was missing.
 */
export function differentVersions(
  versions: readonly Version[],
  snapshots: readonly SnapshotName[],
): DifferentVersion[] {
  const bySnapshot = new Map(versions.map((version) => [version.snapshot, version]));
  const different: DifferentVersion[] = [];
  let last: Version | undefined;
  for (const snapshot of snapshots) {
    const version = bySnapshot.get(snapshot);
    const previous = different.at(-1);
    if (version !== undefined) {
      if (last !== undefined && previous !== undefined && isSame(last, version)) {
        different[different.length - 1] = { ...previous, snapshot };
      } else {
        different.push({ ...version, oldest: snapshot });
      }
    }
    last = version;
  }
  return different.reverse();
}

/**
 * The same for many paths at once: fed with what each snapshot holds, the oldest first, it remembers only what differs.
 * Each path has its versions the newest first.
 */
export function collectDifferent(): {
  add(version: Version, at: number): void;
  result(): Map<string, DifferentVersion[]>;
} {
  const known = new Map<string, { versions: DifferentVersion[]; at: number }>();
  return {
    add(version, at) {
      const before = known.get(version.path);
      const last = before?.versions[0];
      if (before === undefined || last === undefined) {
        known.set(version.path, { versions: [{ ...version, oldest: version.snapshot }], at });
        return;
      }
      // What was not in the snapshot between came back: another version.
      if (before.at === at - 1 && isSame(last, version)) before.versions[0] = { ...last, snapshot: version.snapshot };
      else before.versions.unshift({ ...version, oldest: version.snapshot });
      before.at = at;
    },
    result: () => new Map([...known].map(([path, { versions }]) => [path, versions])),
  };
}

/** Which snapshots a person asks for. */
export type Wish =
  | { readonly kind: 'newest' }
  | { readonly kind: 'all' }
  | { readonly kind: 'snapshot'; readonly snapshot: SnapshotName }
  /** The newest that is not younger. */
  | { readonly kind: 'at'; readonly time: Date };

/** The one snapshot of a wish; undefined for `newest` and `all`, where each path has its own. */
export function snapshotOf(wish: Wish, snapshots: readonly NamedSnapshot[]): SnapshotName | undefined {
  const names = snapshots.map(({ snapshot }) => snapshot);
  if (wish.kind === 'snapshot') {
    if (names.includes(wish.snapshot)) return wish.snapshot;
    throw new BytebackError('usage', {
      what: `there is no snapshot ${wish.snapshot}`,
      why: nearestInWords(snapshotTime(wish.snapshot), names),
      fix: 'see all of them with: byteback-restore --snapshots',
    });
  }
  if (wish.kind === 'at') {
    const name = names.findLast((candidate) => (snapshotTime(candidate) ?? new Date(0)) <= wish.time);
    if (name !== undefined) return name;
    throw new BytebackError('usage', {
      what: `there is no snapshot as old as ${bothTimes(wish.time)}`,
      why: `the oldest is ${names[0]}`,
      fix: `take that one: --snapshot ${names[0]}`,
    });
  }
  return undefined;
}

/** A time as a person typed it, and as snapshots are named. */
function bothTimes(time: Date): string {
  return `${format(time, 'yyyy-MM-dd HH:mm:ss')} (${time.toISOString().slice(0, 19)}Z)`;
}

function nearestInWords(time: Date | undefined, names: readonly SnapshotName[]): string {
  if (time === undefined || names.length === 0) return 'there are none';
  const distance = (name: SnapshotName) => Math.abs((snapshotTime(name)?.getTime() ?? 0) - time.getTime());
  return `the nearest is ${names.toSorted((a, b) => distance(a) - distance(b))[0]}`;
}

/** The snapshot that a person named; `latest` is the newest. */
export function wishedSnapshot(text: string, snapshots: readonly NamedSnapshot[]): Wish {
  const name = text === 'latest' ? snapshots.at(-1)?.snapshot : parseSnapshotName(text);
  if (name !== undefined) return { kind: 'snapshot', snapshot: name };
  throw new BytebackError('usage', {
    what: `not the name of a snapshot: ${JSON.stringify(text)}`,
    why: 'they look like 2026-11-20T030000Z, which is their time in UTC',
    fix: 'see all of them with: byteback-restore --snapshots; or give a time: --at "3 days ago"',
  });
}

/** The versions of one path that a wish means, the newest first; none when it was not there. */
export function wishedVersions(
  wish: Wish,
  snapshot: SnapshotName | undefined,
  versions: readonly Version[],
  snapshots: readonly SnapshotName[],
): DifferentVersion[] {
  const different = differentVersions(versions, snapshots);
  if (wish.kind === 'all') return different;
  if (snapshot === undefined) return different.slice(0, 1);
  const held = versions.find((version) => version.snapshot === snapshot);
  return held === undefined ? [] : [{ ...held, oldest: oldestOf(held, different) }];
}

function oldestOf(held: Version, different: readonly DifferentVersion[]): SnapshotName {
  return (
    different.find(({ oldest = held.snapshot, snapshot }) => oldest <= held.snapshot && held.snapshot <= snapshot)
      ?.oldest ?? held.snapshot
  );
}

/** Where a path that a snapshot does not hold is to be found instead. */
export function whereElse(
  snapshot: SnapshotName | undefined,
  versions: readonly Version[],
  snapshots: readonly SnapshotName[],
): { why: string; fix?: string } {
  if (snapshots.length === 0)
    return { why: 'no snapshot of this machine exists yet', fix: 'make one: byteback-backup --verbose' };
  if (versions.length === 0) return { why: `none of the ${snapshots.length} snapshots of this machine holds it` };
  if (snapshot === undefined) return { why: 'it is in none of them' };
  const held = versions.map((version) => version.snapshot).toSorted();
  const older = held.findLast((name) => name < snapshot);
  const newer = held.find((name) => name > snapshot);
  const places = [
    ...(older === undefined ? [] : [`before it in ${older}`]),
    ...(newer === undefined ? [] : [`after it in ${newer}`]),
  ];
  return {
    why: `it is not in ${snapshot}, but ${places.join(' and ')}`,
    fix: `take it from there: --snapshot ${older ?? newer}`,
  };
}
