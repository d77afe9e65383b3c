import { statfsSync } from 'node:fs';
import { BytebackError, type ExitName, type Explanation } from '../errors.ts';
import { btrfsMagic } from '../system/btrfs.ts';
import { type FileTrouble, fileTroubleIn } from '../system/file-trouble.ts';

/** What each trouble is when it is the store's, for those who wait for a backup. */
const troubles: Readonly<
  Record<FileTrouble['code'], (root: string) => { exit: Exclude<ExitName, 'ok'> } & Pick<Explanation, 'what' | 'fix'>>
> = {
  EIO: (root) => ({
    exit: 'storeFailed',
    what: 'the disk of the store fails',
    fix: `on the server, look at: byteback doctor; dmesg; btrfs device stats ${root}`,
  }),
  EROFS: (root) => ({
    exit: 'storeFailed',
    what: 'the store can only be read',
    fix: `on the server, look at: byteback doctor; dmesg; findmnt ${root}`,
  }),
  ENOSPC: () => ({
    exit: 'storeFull',
    what: 'the store is full',
    fix: 'on the server, run: byteback-prune --free 10%',
  }),
  EDQUOT: () => ({
    exit: 'storeFull',
    what: 'the store is full',
    fix: 'on the server, run: byteback-prune --free 10%',
  }),
  gone: (root) => ({
    exit: 'notBtrfs',
    what: 'the store is not mounted on the server',
    fix: `on the server: mount ${root}; then look at: byteback doctor`,
  }),
};

/** True when no btrfs is to be seen at the store's place; a disk that fails does not answer. */
function isAway(root: string): boolean {
  try {
    return statfsSync(root).type !== btrfsMagic;
  } catch {
    return true;
  }
}

/** An error of the store's own disk as what a person needs to know; all others as they are. */
export function explainStoreTrouble(error: unknown, root: string): unknown {
  if (error instanceof BytebackError && error.exit !== 'bug') return error;
  const trouble = fileTroubleIn(error);
  // A name that is missing in a store that is there is none of the disk's doing.
  const isGone = (trouble?.code === 'gone' || trouble === undefined) && isAway(root);
  const code = isGone ? 'gone' : trouble?.code === 'gone' ? undefined : trouble?.code;
  if (code === undefined) return error;
  const { exit, ...words } = troubles[code](root);
  const why = code === 'gone' ? `there is no btrfs at ${root}` : (trouble?.why ?? 'it does not answer');
  return new BytebackError(exit, { ...words, why }, { cause: error });
}
