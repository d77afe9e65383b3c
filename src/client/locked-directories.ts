import { type KeptPlace, topmostPlaces } from '../catalogue/kept.ts';
import type { EncryptedDirectory } from '../system/fscrypt.ts';

/** When an encrypted directory was last seen open. */
export interface RememberedOpen {
  /** A byte string. */
  readonly path: string;
  /** In milliseconds since 1970. */
  readonly seenAt: number;
}

/** What a run does about encrypted directories. */
export interface LocksDecision {
  /** Locked now: the server keeps what it has of them. */
  readonly locked: readonly KeptPlace[];
  /** Open now: what is in them is sent by the names that the scan saw, because their key may go at any moment. */
  readonly open: readonly string[];
  /** What is to be remembered of this run. */
  readonly remembered: readonly RememberedOpen[];
}

/**
 * A locked directory shows cipher names and no content: its tree is not deleted, and not renamed. It is kept until it is open again.
 * Pure.
 * @param found the topmost encrypted directories of the tree
 * @param before what is remembered
 * @param mattering whether a path lies in what the run takes
 */
export function decideLocks(
  found: readonly EncryptedDirectory[],
  before: readonly RememberedOpen[],
  { now, mattering }: { readonly now: number; readonly mattering: (path: string) => boolean },
): LocksDecision {
  const ours = found.filter(({ path }) => mattering(path));
  const seenAt = new Map(before.map((one) => [one.path, one.seenAt]));
  const locked = ours.filter(({ isLocked }) => isLocked).map(({ path }) => path);
  const open = ours.filter(({ isLocked }) => !isLocked).map(({ path }) => path);
  const places = locked.map((path): KeptPlace => {
    const seen = seenAt.get(path);
    const history =
      seen === undefined
        ? 'it was never open when a backup was made, so that none holds what is in it'
        : `what the server has of it is kept; it was last open on ${new Date(seen).toISOString().slice(0, 10)}`;
    return { path, extent: 'contents', why: `it is encrypted (fscrypt) and locked: ${history}` };
  });
  const isOpen = new Set(open);
  return {
    locked: topmostPlaces(places),
    open: topmostPlaces(open.map((path): KeptPlace => ({ path, extent: 'whole', why: '' }))).map(({ path }) => path),
    remembered: [
      // What is not found now may lie on a file system that is away.
      ...before.filter(({ path }) => !isOpen.has(path) && mattering(path)),
      ...open.map((path) => ({ path, seenAt: now })),
    ],
  };
}
