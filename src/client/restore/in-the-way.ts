import { closeSync, lstatSync, realpathSync, renameSync } from 'node:fs';
import { BytebackError, reasonOf } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import type { ListedType } from '../../protocol/tree-list.ts';
import { isMissing } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { openPlainly, within } from '../plain-way.ts';
import { typeOf, typesInWords } from './difference.ts';
import type { TreeList } from './tree-list.ts';
import { placeOf } from './what-came.ts';

/** Something that has the name of what comes, and is of another kind. */
export interface InTheWay {
  /** Relative to where the tree is built, latin1. */
  readonly name: string;
  readonly found: ListedType;
  readonly wanted: ListedType;
}

/** What is found under a name: a kind, nothing, or something of no known kind. */
export type FoundKind = ListedType | 'nothing';

/** Whether what is there has to be moved aside for what comes. What the server cannot give needs no room. */
export function isInTheWay(wanted: ListedType, found: FoundKind): boolean {
  return found !== 'nothing' && wanted !== 'unreadable' && found !== wanted;
}

/** Only the topmost: what lies in a directory goes with it, and what is reached through a link is elsewhere. */
export function topmost(all: readonly InTheWay[]): InTheWay[] {
  const names = new Set(all.map(({ name }) => name));
  return all.filter(({ name }) => {
    for (let slash = name.lastIndexOf('/'); slash > 0; slash = name.lastIndexOf('/', slash - 1))
      if (names.has(name.slice(0, slash))) return false;
    return true;
  });
}

/** Looks at each name that comes, by lstat. */
export async function findInTheWay(
  list: Pick<TreeList, 'entries'>,
  directory: string,
  { keepsParents, makesDevices }: { readonly keepsParents: boolean; readonly makesDevices: boolean },
): Promise<InTheWay[]> {
  const found: InTheWay[] = [];
  for await (const entries of list.entries()) {
    for (const { name, type, onTheWay } of entries) {
      if (name === '' || (onTheWay && keepsParents)) continue;
      // It does not come: nothing has to give way.
      if (!makesDevices && (type === 'block' || type === 'character')) continue;
      const kind = kindAt(placeOf(directory, name));
      if (kind !== 'nothing' && isInTheWay(type, kind)) found.push({ name, found: kind, wanted: type });
    }
  }
  return topmost(found);
}

/** What rsync calls new, and is there all the same: for a server that does not list what it has. */
export function inTheWayOf(directory: string, item: { readonly flags: string; readonly name: Buffer }): InTheWay[] {
  const name = item.name.toString('latin1').replace(/\/+$/, '');
  const wanted = { f: 'file', d: 'directory', L: 'link', D: 'block', S: 'fifo' }[item.flags.charAt(1)];
  const found = kindAt(placeOf(directory, name));
  return found === 'nothing' || name === '' || wanted === undefined
    ? []
    : [{ name, found, wanted: wanted as ListedType }];
}

function kindAt(path: Buffer): FoundKind {
  try {
    return typeOf(lstatSync(path, { bigint: true })) ?? 'unreadable';
  } catch (error) {
    if (isMissing(error) || ['ELOOP', 'ENAMETOOLONG'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return 'nothing';
    throw error;
  }
}

/** One line about what is in the way, for the question. */
export function inTheWayInWords({ name, found, wanted }: InTheWay): string {
  const path = `/${escapeName(Buffer.from(name, 'latin1'))}`;
  return `would move aside ${path}: it is ${typesInWords[found]}, and ${typesInWords[wanted]} in the snapshot`;
}

/** The longest name that Linux's file systems take, in bytes. */
const longestName = 255;

/** The name under which something is kept: the suffix stays whole, also where the name had to be cut. */
export function keptName(name: string, suffix: string): string {
  return `${name.slice(0, longestName - suffix.length)}${suffix}`;
}

/**
 * Moves aside what is in the way, whole and in one step each, and not through a link. What was moved before a cut is no longer in
 * the way when the same command is given again.
 * @throws BytebackError (usage) for what cannot be moved; nothing is lost then.
 */
export function moveAside(all: readonly InTheWay[], directory: string, suffix: string, log: Log): void {
  // Which links the way to it may have is settled: see checkWay.
  const parent = all.length === 0 ? '' : realpathSync(directory, { encoding: 'buffer' }).toString('latin1');
  for (const { name, found } of all) {
    const slash = name.lastIndexOf('/');
    const handle = openPlainly(slash < 0 ? parent : `${parent}/${name.slice(0, slash)}`);
    const path = `/${escapeName(Buffer.from(name, 'latin1'))}`;
    if (handle === undefined) throw cannotMove(path, 'the directory that it is in has changed meanwhile');
    try {
      const own = name.slice(slash + 1);
      // What has changed since the question is not what the answer was about.
      if (kindAt(within(handle, own)) !== found) throw cannotMove(path, 'it has changed meanwhile');
      let kept = keptName(own, suffix);
      for (let at = 2; kindAt(within(handle, kept)) !== 'nothing'; at += 1) kept = keptName(own, `${suffix}.${at}`);
      try {
        renameSync(within(handle, own), within(handle, kept));
      } catch (error) {
        const isMount = (error as NodeJS.ErrnoException).code === 'EBUSY';
        throw cannotMove(path, isMount ? 'a file system is mounted there' : reasonOf(error));
      }
      log.step(`moved aside ${path}: it is ${escapeName(Buffer.from(kept, 'latin1'))} now`);
    } finally {
      closeSync(handle);
    }
  }
}

function cannotMove(path: string, why: string): BytebackError {
  return new BytebackError('usage', {
    what: `cannot move aside ${path}`,
    why,
    fix: 'look at what is there and give the command again, or restore elsewhere with --to',
  });
}
