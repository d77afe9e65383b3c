import type { ListedEntry } from '../../protocol/tree-list.ts';

/** What becomes of attributes that only root can set. */
export interface Rights {
  /** They come back. */
  readonly given: boolean;
  /** Why some do not; undefined where nothing is kept back. */
  readonly withheld: string | undefined;
}

/**
 * Whether a file gets back what gives rights: capabilities, `trusted.*`, labels. The store cannot tell such an attribute from one
 * that a user of the client wrote under the name in which the store keeps it. So only what no user can have written gets them:
 * files of root that nobody else may write, by owner and mode at the time of the backup. An ACL that lets
 * somebody write shows in the bits of the group. Pure.
 */
export function rightsOf({ held, type, uid, mode }: Pick<ListedEntry, 'held' | 'type' | 'uid' | 'mode'>): Rights {
  const isRoots = uid === 0 && mode !== null && (type === 'link' || (mode & 0o022) === 0);
  const given = isRoots && (held.rights || held.label);
  if (held.foreign)
    return { given, withheld: 'it has attributes user.rsync.*, which mean something else to the store' };
  if (held.rights && !isRoots) return { given, withheld: keptBack };
  return { given, withheld: undefined };
}

const keptBack =
  'its capabilities and other attributes of the system are kept back: it was not a file of root that nobody else could write';
