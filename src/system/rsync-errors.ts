/**
 * What rsync (3.2.3 to 3.5.0, LC_ALL=C) says on its standard error, understood. Names of files are part of its lines, so that
 * nothing is recognised by words: a number counts only where rsync's own `rsyserr` puts it, at the end of a line that begins
 * with rsync's prefix, after the last quote. Pure.
 */
import { decodeRsyncName } from './rsync-output.ts';

/** One line of `rsyserr`: `rsync: [receiver] write failed on "/a": No space left on device (28)`. */
export interface RsyncSystemError {
  readonly side: 'sender' | 'receiver';
  /** The call and what it was done to: `write failed on "/a"`. */
  readonly message: string;
  /** The kernel's number: errno(3). */
  readonly number: number;
  /** "No space left on device (28)". */
  readonly why: string;
}

/** Numbers of errno(3) on Linux. */
const errnoOf = { EIO: 5, E2BIG: 7, ENOSPC: 28, EROFS: 30, ERANGE: 34, ENAMETOOLONG: 36, EOVERFLOW: 75, EDQUOT: 122 };

/** Reads one line of `rsyserr`, or undefined for every other line, whatever names it holds. */
export function parseSystemError(line: string): RsyncSystemError | undefined {
  // No text of strerror(3) has a quote or a colon; a name that has one is inside of quotes, or before the last colon.
  const match = /^rsync: \[([A-Za-z]+)\] (.*): ([^:"]+ \((\d+)\))$/.exec(line);
  if (match === null) return undefined;
  const [, who = '', message = '', why = '', number] = match;
  const side = ['receiver', 'generator'].includes(who.toLowerCase()) ? 'receiver' : 'sender';
  return { side, message, number: Number(number), why };
}

/** What an error of the receiving side says of the disk that it writes to. */
export type DiskTrouble = 'full' | 'quota' | 'fails' | 'readOnly';

/**
 * Undefined where one file is at fault. An attribute that is too large for one file gets ENOSPC too (xattr(7)): of that
 * call the number says nothing about the disk.
 */
export function diskTroubleOf({ side, message, number }: RsyncSystemError): DiskTrouble | undefined {
  if (side !== 'receiver') return undefined;
  switch (number) {
    case errnoOf.ENOSPC:
      return setsAttribute(message) ? undefined : 'full';
    case errnoOf.EDQUOT:
      return 'quota';
    case errnoOf.EIO:
      return 'fails';
    case errnoOf.EROFS:
      return 'readOnly';
    default:
      return undefined;
  }
}

/** rsync_xal_set, set_xattr_acl: the call comes before the name. */
function setsAttribute(message: string): boolean {
  return /^(?:[a-z_]+: )?[lf]?setxattr\("/.test(message);
}

/** Something that one line of rsync's standard error says of one file. */
export interface RsyncComplaint {
  /** Whose fault: `vanished` is none. */
  readonly side: 'sender' | 'receiver' | 'vanished';
  /** As bytes; absolute for the sender, relative to the destination for the receiver. */
  readonly name: Buffer;
  /** "Permission denied (13)", or rsync's own words. */
  readonly why: string;
  /** The other side will never take it as it is: a name or an attribute is larger than what its file system holds. */
  readonly lasting?: true;
}

/** What rsync said on its standard error. */
export interface RsyncErrors {
  readonly complaints: readonly RsyncComplaint[];
  /** The receiver met a full disk or quota. */
  readonly diskFull: boolean;
  /** The receiver met a disk that fails. */
  readonly diskFails: boolean;
  /** A file could not be read, or changed while it was read. */
  readonly unreadable: boolean;
  /** The line that says why it ended, without rsync's own trailer; empty when there is none. */
  readonly cause: string;
}

/** Reads rsync's standard error, that of the remote side included. */
export function parseErrors(text: string): RsyncErrors {
  const complaints: RsyncComplaint[] = [];
  let [diskFull, diskFails, unreadable] = [false, false, false];
  let cause = '';
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '') continue;
    const unnumbered = parseUnnumbered(line);
    if (unnumbered !== undefined) complaints.push(unnumbered);
    if (unnumbered?.side === 'vanished') continue;
    if (unnumbered?.why === changedMeanwhile) unreadable = true;
    const error = parseSystemError(line);
    if (error !== undefined) {
      const trouble = diskTroubleOf(error);
      if (trouble === 'full' || trouble === 'quota') diskFull = true;
      if (trouble === 'fails' || trouble === 'readOnly') diskFails = true;
      if (error.number === errnoOf.EIO) unreadable = true;
      const complaint = complaintOf(error);
      if (complaint !== undefined) complaints.push(complaint);
    }
    if (!/^(?:rsync error:|IO error encountered|WARNING:|IOERR)/.test(line) || cause === '') cause = line.trim();
  }
  return { complaints, diskFull, diskFails, unreadable, cause };
}

const changedMeanwhile = 'it changed while it was sent';

/** Lines without a number that name one file. Each is matched to its end: a name may hold all of these words. */
const unnumbered: readonly {
  readonly pattern: RegExp;
  readonly side: RsyncComplaint['side'];
  readonly why: string;
  readonly lasting?: true;
}[] = [
  { pattern: /^file has vanished: "(.*)"$/, side: 'vanished', why: 'it vanished' },
  {
    pattern: /^ERROR: (.*) failed verification -- update (?:discarded|retained)\.$/,
    side: 'sender',
    why: changedMeanwhile,
  },
  {
    pattern: /^filename overflows max-path len by \d+: (.*)$/,
    side: 'sender',
    why: 'its path is too long for rsync',
    lasting: true,
  },
  {
    pattern: /^skipping overly long name: (.*)$/,
    side: 'sender',
    why: 'its path is too long for rsync',
    lasting: true,
  },
  {
    pattern: /^Missing abbreviated xattr value, .*, for "(.*)"$/,
    side: 'receiver',
    why: 'an attribute changed while it was sent',
  },
  {
    pattern: /^temporary filename too long: (.*)$/,
    side: 'receiver',
    why: 'its path is too long for the other side',
    lasting: true,
  },
];

function parseUnnumbered(line: string): RsyncComplaint | undefined {
  for (const { pattern, side, why, lasting } of unnumbered) {
    const name = pattern.exec(line)?.[1];
    if (name !== undefined) return { side, name: decodeRsyncName(name), why, ...(lasting ? { lasting } : {}) };
  }
  return undefined;
}

/** Where the name is in a message: what a call with several words in quotes is done to, and then a name in quotes alone. */
const namePatterns: readonly RegExp[] = [
  // rsync_xal_set: lsetxattr("/a","user.b") failed; get_xattr_data: lgetxattr("/a","user.b",0) failed
  /^(?:[a-z_]+: )?[lf]?(?:get|set|remove)xattr\("(.*)","(?:user|trusted|security|system)\..*"(?:,-?\d+)?\) failed$/,
  // get_xattr_names: llistxattr("/a",1024) failed
  /^(?:[a-z_]+: )?[lf]?listxattr\("(.*)",\d+\) failed$/,
  // rename "/data/.a.Xy12Zq" -> "a": what it is to become
  /^(?:rename|copy) ".*" -> "(.*)"$/,
  /^(?:[a-z_]+: )?[a-z_]*acl_[a-z_]+\((.*), ACL_TYPE_[A-Z]+\)$/,
  /^[^"]*"(.*)"[^"]*$/,
];

/** Numbers that mean that a name or an attribute is larger than what the file system at the other end holds. */
const tooLarge: ReadonlySet<number> = new Set([errnoOf.E2BIG, errnoOf.ERANGE, errnoOf.ENAMETOOLONG, errnoOf.EOVERFLOW]);

function complaintOf(error: RsyncSystemError): RsyncComplaint | undefined {
  const { side, message, number, why } = error;
  for (const pattern of namePatterns) {
    const name = pattern.exec(message)?.[1];
    if (name === undefined) continue;
    const isTooLarge = tooLarge.has(number) || (number === errnoOf.ENOSPC && setsAttribute(message));
    const lasting = side === 'receiver' && isTooLarge ? { lasting: true as const } : {};
    const words = number === errnoOf.ENOSPC && setsAttribute(message) ? attributeTooLarge : why;
    return { side, name: decodeRsyncName(finalName(message, name)), why: words, ...lasting };
  }
  return undefined;
}

/** The kernel's own words would be read as a full disk. */
const attributeTooLarge = 'it has an extended attribute that is too large for the file system it goes to';

/** rsync makes a file under a name for the time being, `.NAME.XXXXXX`: what matters is the file. */
function finalName(message: string, name: string): string {
  return message.startsWith('mkstemp "') ? name.replace(/(^|\/)\.([^/]+)\.[A-Za-z0-9]{6}$/, '$1$2') : name;
}
