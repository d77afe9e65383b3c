import type { Entry } from '../catalogue/record.ts';
import type { Stored } from '../protocol/stored.ts';

/** One path at which the store does not have what the scan saw. */
export interface Difference {
  readonly path: string;
  /**
   * `missing`: only the scan has it. `excess`: only the store has it. `other`: type, size or time differ. `links`: it shares its
   * content with other names than on the client.
   */
  readonly kind: 'missing' | 'excess' | 'other' | 'links';
  readonly expected?: Entry;
  readonly stored?: Stored;
}

/** Names of one file, on the client. */
interface LinkGroup {
  readonly names: Difference[];
  readonly inodes: Set<string>;
}

/**
 * Compares what the store has with what the scan saw, path by path. Rights and attributes are not looked at: rsync compares them
 * whenever it is given a path, and a path is given to it whenever its ctime is another. Pure.
 */
export class StoreComparison {
  readonly #differences: Difference[] = [];
  readonly #groups = new Map<string, LinkGroup>();
  /** Which files of the client share an inode of the store. */
  readonly #sharers = new Map<string, Set<string>>();

  /** @param expected what the scan saw, when the run takes it */
  note(expected: Entry | undefined, stored: Stored | undefined): void {
    if (expected === undefined) {
      if (stored !== undefined) this.#differences.push({ path: stored.path, kind: 'excess', stored });
      return;
    }
    const { path } = expected;
    if (stored === undefined) {
      this.#differences.push({ path, kind: 'missing', expected });
      return;
    }
    if (!isAsSeen(expected, stored)) {
      this.#differences.push({ path, kind: 'other', expected, stored });
      return;
    }
    if (expected.type !== 'f') return;
    const difference: Difference = { path, kind: 'links', expected, stored };
    if (expected.links < 2) {
      if (stored.links > 1) this.#differences.push(difference);
      return;
    }
    const group = this.#groups.get(expected.inode) ?? { names: [], inodes: new Set() };
    this.#groups.set(expected.inode, group);
    group.names.push(difference);
    group.inodes.add(stored.inode);
    const sharers = this.#sharers.get(stored.inode) ?? new Set();
    this.#sharers.set(stored.inode, sharers);
    sharers.add(expected.inode);
  }

  /** All differences, when everything was noted. */
  end(): readonly Difference[] {
    for (const { names, inodes } of this.#groups.values()) {
      const isShared = [...inodes].some((inode) => (this.#sharers.get(inode)?.size ?? 0) > 1);
      if (isShared || inodes.size > 1) this.#differences.push(...names);
    }
    this.#groups.clear();
    return this.#differences;
  }
}

/** With --fake-super what is no directory is a file in the store; devices, pipes and sockets are empty there. */
function isAsSeen(expected: Entry, stored: Stored): boolean {
  if ((expected.type === 'd') !== (stored.type === 'd')) return false;
  if (expected.mtime !== stored.mtime) return false;
  return expected.type !== 'f' || expected.sizeBytes === stored.sizeBytes;
}

/** What the client has at a path now: as the scan saw it, nothing, something else, or not to be told. */
export type Now = 'as scanned' | 'gone' | 'other' | 'unknown';

/** What one more pass puts right. */
export interface Mending {
  /** To be sent, compared by checksum. */
  readonly send: readonly string[];
  /** To be deleted on the server: topmost only. */
  readonly remove: readonly string[];
  /** To be made single on the server first. */
  readonly separate: readonly string[];
}

/** Decides what can be put right at once: what is on the client as the scan saw it, and what is not there at all. Pure. */
export function planMending(differences: readonly Difference[], now: (path: string) => Now): Mending {
  const send: string[] = [];
  const gone = new Set<string>();
  const separate: string[] = [];
  for (const { path, kind } of differences) {
    const found = now(path);
    if (kind === 'excess') {
      if (found === 'gone') gone.add(path);
    } else if (found === 'as scanned') {
      send.push(path);
      if (kind === 'links') separate.push(path);
    }
  }
  return { send, remove: [...gone].filter((path) => !isBelowAny(path, gone)), separate };
}

/** What of the differences that are left is an error: files that are on the client as the scan saw them, all the same. */
export function lostFiles(differences: readonly Difference[], now: (path: string) => Now): readonly string[] {
  return differences
    .filter(({ kind, expected }) => kind === 'missing' || (kind === 'other' && expected?.type !== 'd'))
    .map(({ path }) => path)
    .filter((path) => now(path) === 'as scanned');
}

function isBelowAny(path: string, others: ReadonlySet<string>): boolean {
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
    if (others.has(path.slice(0, at))) return true;
  }
  return false;
}

/** The name for the time being that rsync gives to `name` while it receives it: `.name.XXXXXX`; undefined for other names. */
export function nameBehindTemporary(path: string): string | undefined {
  const [, directory, name] = /^(.*\/)\.(.+)\.[A-Za-z0-9]{6}$/s.exec(path) ?? [];
  return directory === undefined || name === undefined ? undefined : directory + name;
}
