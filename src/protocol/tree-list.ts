/**
 * What a snapshot holds at and below some names, as `tree` writes it: one record for each name, and a last one that says that
 * this is all. A record is four parts, each ended by NUL: figures, name, target of a link, attributes.
 */

/** What a listed name is; `unreadable`: the server's disk does not give it. */
export type ListedType = 'file' | 'directory' | 'link' | 'fifo' | 'socket' | 'block' | 'character' | 'unreadable';

/** Kinds of extended attributes that are stored for a file, by their names alone. */
export interface Held {
  /** Only root can set them: `security.*` and `trusted.*`. */
  readonly rights: boolean;
  /** `security.selinux`, which a machine can make anew by its own policy. */
  readonly label: boolean;
  /** No file can have them: somebody gave his file an attribute in the name space in which the store speaks. */
  readonly foreign: boolean;
}

/** One name of a snapshot. */
export interface ListedEntry {
  /** Relative to the root of the snapshot, one byte a character (latin1); empty for the root itself. */
  readonly name: string;
  readonly type: ListedType;
  /** Permission bits; null where the record of mode and owner is corrupt. */
  readonly mode: number | null;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  /** The same for all names of one file; 0 where it has one name. */
  readonly linkGroup: string;
  /** Of a device: "8,1". */
  readonly device: string;
  /** A directory on the way to a name that was asked for, which is not itself meant. */
  readonly onTheWay: boolean;
  /** Of a link, latin1. */
  readonly target: string;
  /** What else is stored as extended attributes of it. */
  readonly held: Held;
  /** The extended attributes that are compared: see `attributesText`; empty where there are none. */
  readonly attributes: string;
}

const letters: Readonly<Record<ListedType, string>> = {
  file: 'f',
  directory: 'd',
  link: 'l',
  fifo: 'p',
  socket: 's',
  block: 'b',
  character: 'c',
  unreadable: '!',
};
const typeOfLetter = new Map(Object.entries(letters).map(([type, letter]) => [letter, type as ListedType]));

/** The last record begins so; the number of records before it follows. */
const endLetter = '.';

/** One record, latin1. */
export function listRecord(entry: ListedEntry): string {
  const { type, mode, uid, gid, sizeBytes, mtimeNs, linkGroup, device, onTheWay, held } = entry;
  const figures = [
    letters[type] + (onTheWay ? 'w' : ''),
    mode === null ? '-' : mode.toString(8),
    uid,
    gid,
    sizeBytes,
    mtimeNs,
    linkGroup || '0',
    device || '0,0',
    (held.rights ? 'r' : '') + (held.label ? 'l' : '') + (held.foreign ? 'f' : '') || '-',
  ];
  return `${figures.join(' ')}\0${entry.name}\0${entry.target}\0${entry.attributes}\0`;
}

/** The record that ends a list. */
export function listEnd(count: number): string {
  return `${endLetter} ${count}\0\0\0\0`;
}

function parseRecord(figures: string, name: string, target: string, attributes: string): ListedEntry | undefined {
  const [letter = '', mode = '-', uid, gid, size, mtimeNs = '', group = '0', device = '0,0', held = ''] =
    figures.split(' ');
  const type = typeOfLetter.get(letter.charAt(0));
  if (type === undefined || !/^-?\d{1,25}$/.test(mtimeNs)) return undefined;
  return {
    name,
    type,
    mode: mode === '-' ? null : Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    sizeBytes: Number(size),
    mtimeNs: BigInt(mtimeNs),
    linkGroup: group === '0' ? '' : group,
    device: device === '0,0' ? '' : device,
    onTheWay: letter.length > 1,
    target,
    held: { rights: held.includes('r'), label: held.includes('l'), foreign: held.includes('f') },
    attributes,
  };
}

/** Reads a list piece by piece. */
export class ListParser {
  #rest: Buffer = Buffer.alloc(0);
  #count = 0;
  /** True once the record has come that says that this is all. */
  isWhole = false;

  /** @throws Error for what is no list. */
  *take(chunk: Buffer): Generator<ListedEntry> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    for (;;) {
      const ends = [from, 0, 0, 0, 0];
      let part = 0;
      for (; part < 4; part += 1) {
        const end = bytes.indexOf(0, ends[part]);
        if (end < 0) break;
        ends[part + 1] = end + 1;
      }
      if (part < 4) break;
      const [figures = '', name = '', target = '', attributes = ''] = [0, 1, 2, 3].map((at) =>
        bytes.toString('latin1', ends[at], (ends[at + 1] ?? 1) - 1),
      );
      from = ends[4] ?? from;
      if (figures.startsWith(endLetter)) {
        this.isWhole = Number(figures.slice(2)) === this.#count;
        continue;
      }
      const entry = parseRecord(figures, name, target, attributes);
      if (entry === undefined || this.isWhole) throw new Error('the list of a snapshot is not as it should be');
      this.#count += 1;
      yield entry;
    }
    this.#rest = Buffer.from(bytes.subarray(from));
  }
}

/** @param names the names of all extended attributes that the store has for a file */
export function heldIn(names: Iterable<string>): Held {
  const held = { rights: false, label: false, foreign: false };
  for (const name of names) {
    if (!name.startsWith(storePrefix)) continue;
    const own = name.slice(storePrefix.length);
    if (own === 'security.selinux') held.label = true;
    else if (/^(?:security|trusted)\./.test(own)) held.rights = true;
    else if (!['%stat', '%aacl', '%dacl'].includes(own)) held.foreign = true;
  }
  return held;
}

const storePrefix = 'user.rsync.';

/**
 * The attributes that are compared, as text that is equal for equal ones: `name=hex` of what belongs to `user.`, and of file
 * capabilities. What begins with `user.rsync.` is the store's own.
 */
export function attributesText(attributes: ReadonlyMap<string, string>): string {
  return [...attributes]
    .filter(([name]) => (name.startsWith('user.') && !name.startsWith(storePrefix)) || name === 'security.capability')
    .map(([name, hex]) => `${name}=${hex}`)
    .toSorted()
    .join(' ');
}
