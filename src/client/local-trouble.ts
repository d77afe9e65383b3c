import type { ClientPaths } from '../config/paths.ts';
import { BytebackError } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import type { RunId, SnapshotName } from '../protocol/names.ts';
import { type FileTrouble, fileTroubleIn } from '../system/file-trouble.ts';

/** How far a run had come. */
export interface Progress {
  readonly run: RunId | null;
  /** The server was asked for the snapshot. */
  readonly isCompleting: boolean;
  /** The server said that it is there. */
  readonly snapshot: SnapshotName | null;
}

/** What became of the run, in words that are true at every moment of it. */
export function whatBecameOf({ isCompleting, snapshot }: Progress): string {
  if (snapshot !== null) return `the snapshot ${snapshot} was taken`;
  return isCompleting
    ? 'the snapshot was asked for; whether it was taken tells: byteback-restore --snapshots'
    : 'no snapshot was taken';
}

const fixes: Readonly<Record<FileTrouble['code'], (stateDir: string) => string>> = {
  EIO: () => 'look at the kernel log: dmesg; then replace the disk, and run byteback-backup again',
  EROFS: (stateDir) =>
    `look at the kernel log: dmesg; mount it for writing (findmnt -T ${stateDir}), and run byteback-backup again`,
  ENOSPC: (stateDir) => `make room: df -h ${stateDir} /tmp; then run byteback-backup again`,
  EDQUOT: (stateDir) => `make room: df -h ${stateDir} /tmp; then run byteback-backup again`,
  gone: (stateDir) =>
    `look whether it is mounted: findmnt -T ${stateDir}; then run byteback-backup again, which makes it anew`,
};

/** An error of this machine's own disk, in the middle of a run, as what a person needs to know; all others as they are. */
export function explainLocalTrouble(error: unknown, { stateDir }: ClientPaths, progress: Progress): unknown {
  // What the server or ssh said is explained already.
  if (error instanceof BytebackError && error.exit !== 'bug') return error;
  const trouble = fileTroubleIn(error);
  if (trouble === undefined) return error;
  const isOwn = trouble.path === undefined || trouble.path.startsWith(stateDir) || trouble.path.startsWith('/tmp');
  if (trouble.code === 'gone' && !isOwn) return error;
  return new BytebackError(
    'usage',
    {
      what: `this machine cannot write what a run needs${trouble.path === undefined ? '' : `: ${escapeName(trouble.path)}`}`,
      why: `${trouble.why}; ${whatBecameOf(progress)}`,
      fix: fixes[trouble.code](stateDir),
    },
    { cause: error },
  );
}
