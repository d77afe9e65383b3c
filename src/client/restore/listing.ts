import { escapeName } from '../../protocol/file-name.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { snapshotTime } from '../../protocol/names.ts';
import type { DifferentVersion } from './choice.ts';
import type { FoundPath } from './versions.ts';

/** One version in a listing; `--json` prints it. */
export interface ListedVersion {
  /** Absolute, escaped. */
  readonly path: string;
  /** The newest snapshot that holds this version. */
  readonly snapshot: SnapshotName;
  /** The oldest one since which it has been the same; not looked for when a pattern was given. */
  readonly since?: SnapshotName;
  readonly type: DifferentVersion['type'];
  readonly sizeBytes: number;
  /** ISO 8601, UTC, with nanoseconds. */
  readonly modified: string;
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  /** Of a link, escaped. */
  readonly target?: string;
}

/** What `byteback-restore` lists; `--json` prints it. */
export interface Listing {
  /** The one snapshot that was asked for; null when each path has its own. */
  readonly snapshot: SnapshotName | null;
  readonly versions: readonly ListedVersion[];
  readonly missing: readonly { readonly path: string; readonly why: string }[];
}

/** What was not found, as it is listed. */
export function listedMissing({ path, elsewhere }: FoundPath): Listing['missing'][number] {
  return { path: escapeName(path), why: elsewhere?.why ?? 'not found' };
}

export function listed(version: DifferentVersion): ListedVersion {
  const { path, snapshot, oldest, type, sizeBytes, mtime, mode, uid, gid, target } = version;
  return {
    path,
    snapshot,
    ...(oldest === undefined ? {} : { since: oldest }),
    type,
    sizeBytes,
    modified: isoOf(mtime),
    mode,
    uid,
    gid,
    ...(target === undefined ? {} : { target }),
  };
}

/** "1763600000.123456789" as ISO 8601 with all its digits; the text itself where it is outside what a Date can hold. */
export function isoOf(mtime: string): string {
  const [seconds = '0', nanoseconds = '0'] = mtime.split('.');
  const time = new Date(Number(seconds) * 1000);
  return Number.isNaN(time.getTime()) ? mtime : `${time.toISOString().slice(0, -5)}.${nanoseconds}Z`;
}

/** A snapshot's own time. */
export function takenAt(snapshot: SnapshotName): Date {
  return snapshotTime(snapshot) ?? new Date(0);
}
