import { type BigIntStats, lstatSync, readlinkSync } from 'node:fs';
import { attributesText, type ListedEntry } from '../../protocol/tree-list.ts';
import { readAttributes } from '../../system/attributes.ts';
import { isMissing } from '../../system/files.ts';
import { type Closeness, differenceOf } from './difference.ts';
import { rightsOf } from './rights.ts';
import type { TreeList } from './tree-list.ts';

/** A name that is not what the snapshot has. */
export interface Lacking {
  /** Relative, latin1. */
  readonly name: string;
  readonly why: string;
  /** Whether bringing it once more may help. */
  readonly again: boolean;
}

/** What stands in the target after a restore, counted against the list. */
export interface Counted {
  /** Regular files that are what the snapshot has, as far as that can be seen without reading them, and their bytes; several names of one file are one. */
  readonly files: number;
  readonly bytes: number;
  readonly lacking: readonly Lacking[];
  /** Regular files whose content nobody has compared yet, one name for each. */
  readonly unread: readonly string[];
}

export interface CountOptions extends Closeness {
  readonly directory: string;
  /** Directories on the way are left as they are. */
  readonly keepsParents: boolean;
  /** The top is the admin's own. */
  readonly keepsTop: boolean;
  /** Attributes that give rights were to come. */
  readonly attributesOfRoot: boolean;
  /** Files that were compared already, latin1. */
  readonly proven: ReadonlySet<string>;
  /** Whether the content of a file that this restore has not touched counts as compared. */
  readonly isSettled: (stat: BigIntStats) => boolean;
}

/** Attributes that are compared. */
const matchOf = (attributesOfRoot: boolean) =>
  attributesOfRoot ? String.raw`^(user\.|security\.capability$)` : String.raw`^user\.`;

/** Looks at each name that the list has, by lstat. */
export async function countWhatCame(list: TreeList, options: CountOptions): Promise<Counted> {
  const lacking = new Map<string, Lacking>();
  const unread = new Map<string, string>();
  const provenFiles = new Set<string>();
  const groups = new Map<string, string>();
  const split = new Set<string>();
  const counted = new Set<string>();
  let [files, bytes] = [0, 0];
  for await (const entries of list.entries()) {
    const attributed: ListedEntry[] = [];
    for (const entry of entries) {
      if (entry.onTheWay && options.keepsParents) continue;
      if (entry.name === '' && options.keepsTop) continue;
      const found = lookAt(options.directory, entry);
      const why = differenceOf(entry, found.stat, found.target, options);
      if (why !== undefined || found.stat === undefined) {
        const again = entry.type !== 'unreadable';
        lacking.set(entry.name, { name: entry.name, why: why ?? 'it is missing', again });
        continue;
      }
      const file = `${found.stat.dev}:${found.stat.ino}`;
      if (entry.linkGroup !== '') {
        const known = groups.get(entry.linkGroup);
        if (known === undefined) groups.set(entry.linkGroup, file);
        else if (known !== file) split.add(entry.linkGroup);
      }
      if (entry.attributes !== '') attributed.push(entry);
      const withheld = withheldOf(entry, options);
      if (withheld !== undefined) lacking.set(entry.name, { name: entry.name, why: withheld, again: false });
      if (entry.type !== 'file') continue;
      if (withheld !== undefined) {
        // Its content is compared all the same.
      } else if (entry.linkGroup === '' || !counted.has(entry.linkGroup)) {
        files += 1;
        bytes += entry.sizeBytes;
        counted.add(entry.linkGroup);
      }
      if (options.proven.has(entry.name) || options.isSettled(found.stat)) {
        if (entry.linkGroup !== '') provenFiles.add(file);
      } else if (!unread.has(file)) unread.set(file, entry.name);
    }
    for (const entry of await withOtherAttributes(attributed, options)) {
      const why = 'it differs from the snapshot: extended attributes';
      lacking.set(entry.name, { name: entry.name, why, again: true });
    }
  }
  if (split.size > 0) {
    const why = 'it is not the same file as its other names';
    for await (const entries of list.entries()) {
      for (const { name, linkGroup } of entries)
        if (split.has(linkGroup) && !lacking.has(name)) lacking.set(name, { name, why, again: true });
    }
  }
  // What was compared under one of its names is compared.
  for (const file of provenFiles) unread.delete(file);
  return { files, bytes, lacking: [...lacking.values()], unread: [...unread.values()] };
}

/** Why something of it was kept back; where nothing of the kind was to come, that is told otherwise. */
function withheldOf(entry: ListedEntry, { attributesOfRoot }: CountOptions): string | undefined {
  return attributesOfRoot ? rightsOf(entry).withheld : undefined;
}

function ofUsers(attributes: string): string {
  return attributes
    .split(' ')
    .filter((one) => one.startsWith('user.'))
    .join(' ');
}

function lookAt(
  directory: string,
  { name, type }: ListedEntry,
): { stat: BigIntStats | undefined; target: string | undefined } {
  const path = placeOf(directory, name);
  try {
    const stat = lstatSync(path, { bigint: true });
    const isLink = type === 'link' && stat.isSymbolicLink();
    return { stat, target: isLink ? readlinkSync(path, { encoding: 'buffer' }).toString('latin1') : undefined };
  } catch (error) {
    if (isMissing(error) || ['ELOOP', 'EACCES', 'ENAMETOOLONG'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return { stat: undefined, target: undefined };
    throw error;
  }
}

/** The path of a name (latin1) below a directory. */
export function placeOf(directory: string, name: string): Buffer {
  const top = Buffer.from(directory.replace(/\/+$/, ''));
  return Buffer.concat([top, Buffer.from('/'), Buffer.from(name, 'latin1')]);
}

async function withOtherAttributes(
  entries: readonly ListedEntry[],
  { directory, attributesOfRoot }: CountOptions,
): Promise<ListedEntry[]> {
  if (entries.length === 0) return [];
  const places = entries.map(({ name }) => placeOf(directory, name));
  const found = await readAttributes(places, matchOf(attributesOfRoot));
  // Without getfattr they cannot be read here; rsync has said what it could not set.
  if (found === undefined) return [];
  return entries.filter((entry, at) => {
    const there = attributesText(found.get(places[at]?.toString('latin1') ?? '') ?? new Map());
    if (attributesOfRoot && rightsOf(entry).withheld === undefined) return there !== entry.attributes;
    return ofUsers(there) !== ofUsers(entry.attributes);
  });
}
