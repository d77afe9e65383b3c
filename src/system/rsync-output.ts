/**
 * What rsync prints, understood. Facts are from rsync 3.2.7 to 3.5.0 with LC_ALL=C; all of these are pure.
 */

/** The bytes of a name as rsync prints it in the C locale: what is not printable ASCII is `\#ooo`, three octal digits. */
export function decodeRsyncName(text: string): Buffer {
  if (!text.includes('\\#')) return Buffer.from(text, 'latin1');
  const parts: Buffer[] = [];
  let from = 0;
  for (const match of text.matchAll(/\\#([0-3][0-7]{2})/g)) {
    parts.push(
      Buffer.from(text.slice(from, match.index), 'latin1'),
      Buffer.from([Number.parseInt(match[1] ?? '0', 8)]),
    );
    from = match.index + match[0].length;
  }
  parts.push(Buffer.from(text.slice(from), 'latin1'));
  return Buffer.concat(parts);
}

/** The `--out-format` of what is fetched. */
export const itemFormat = '=%i %l %n';

/** The same with the checksum of what came over, which is told when its writing has ended; blanks for what did not. */
export const digestItemFormat = '=%i C%C %l %n';

/** The same for `parseItem`, with what a file cost on the wire: so it is told when its sending has ended. */
export const sentItemFormat = '=%i %l %b %n';

/** One line of `--out-format`. */
export interface RsyncItem {
  readonly kind: 'sent' | 'changed' | 'deleted';
  readonly sizeBytes: number;
  /** Bytes that went over for its content. */
  readonly wireBytes: number;
  /** Relative to the root, as bytes; a directory ends in a slash. */
  readonly name: Buffer;
  /**
   * Rights, owner, ACL or extended attributes of something that was there before were changed, or a directory, device, pipe or
   * socket was made: what has to be looked at again (see `transfer`).
   */
  readonly attributes: boolean;
  /** Nothing was there before. */
  readonly isNew: boolean;
}

/** A file that was sent, a change of something else, or a deletion; undefined for every other line. */
export function parseItem(line: string): RsyncItem | undefined {
  if (!line.startsWith('=')) return undefined;
  const match = /^=(.)(.{10}) +(\d+) (\d+) (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, update, flags = '', size, wire, name = ''] = match;
  if (update === '*') {
    return flags.startsWith('deleting')
      ? { kind: 'deleted', sizeBytes: 0, wireBytes: 0, name: decodeRsyncName(name), attributes: false, isNew: false }
      : undefined;
  }
  // %i is YXcstpoguax; a plus in the place of all of them stands for something new.
  const attributes = /[pogax]/.test(flags.slice(4)) || (update === 'c' && /^[dDS]\+/.test(flags));
  return {
    kind: update === '<' ? 'sent' : 'changed',
    sizeBytes: Number(size),
    wireBytes: Number(wire),
    name: decodeRsyncName(name),
    attributes,
    isNew: flags.includes('+'),
  };
}

/** One line of `--info=progress2`. */
export interface RsyncProgress {
  /** Bytes of the files that were sent so far, this one's part included. */
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

const rateUnits: Readonly<Record<string, number>> = { '': 1, k: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

export function parseProgress(line: string): RsyncProgress | undefined {
  const match = /^\s*([\d,]+)\s+\d+%\s+([\d.]+)([kMGT]?)B\/s\s/.exec(line);
  if (match === null) return undefined;
  return { bytes: count(match[1]), bytesPerSecond: Math.round(Number(match[2]) * (rateUnits[match[3] ?? ''] ?? 1)) };
}

/** The figures of `--info=stats2` that byteback keeps. */
export interface RsyncStats {
  readonly sentFiles: number;
  /** Content of the files that were sent. */
  readonly sentBytes: number;
  readonly literalBytes: number;
  readonly deletedFiles: number;
  /** Both directions. */
  readonly wireBytes: number;
}

/** Understands the statistics; figures that are missing (a run that was cut) are 0. */
export function parseStats(text: string): RsyncStats {
  const figure = (label: string) => count(new RegExp(`^${label}: ([\\d,]+)`, 'm').exec(text)?.[1]);
  return {
    sentFiles: figure('Number of regular files transferred'),
    sentBytes: figure('Total transferred file size'),
    literalBytes: figure('Literal data'),
    deletedFiles: figure('Number of deleted files'),
    wireBytes: figure('Total bytes sent') + figure('Total bytes received'),
  };
}

function count(text: string | undefined): number {
  return text === undefined ? 0 : Number(text.replaceAll(',', ''));
}

/** Something that one line of rsync's standard error says of one file. */
export interface RsyncComplaint {
  /** Whose fault: `vanished` is none. */
  readonly side: 'sender' | 'receiver' | 'vanished';
  /** As bytes; absolute for the sender, relative to the destination for the receiver. */
  readonly name: Buffer;
  /** "Permission denied (13)", or rsync's own words. */
  readonly why: string;
}

/** What rsync said on its standard error. */
export interface RsyncErrors {
  readonly complaints: readonly RsyncComplaint[];
  /** The receiver met a full disk or quota. */
  readonly diskFull: boolean;
  /** The receiver met a disk that fails. */
  readonly diskFails: boolean;
  /** The line that says why it ended, without rsync's own trailer; empty when there is none. */
  readonly cause: string;
}

/** Reads rsync's standard error, that of the remote side included. */
export function parseErrors(text: string): RsyncErrors {
  const complaints: RsyncComplaint[] = [];
  let diskFull = false;
  let diskFails = false;
  let cause = '';
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '') continue;
    const vanished = /^file has vanished: "(.*)"/.exec(line);
    if (vanished !== null) {
      complaints.push({ side: 'vanished', name: decodeRsyncName(vanished[1] ?? ''), why: 'it vanished' });
      continue;
    }
    const side = /^rsync: \[([A-Za-z]+)\]/.exec(line)?.[1]?.toLowerCase();
    const receives = side === 'receiver' || side === 'generator';
    if (/No space left on device|Disk quota exceeded|\((?:28|122)\)/.test(line) && side !== 'sender') diskFull = true;
    if (/Input\/output error|Read-only file system/.test(line) && receives) diskFails = true;
    const complaint = side === undefined ? undefined : parseComplaint(line, receives ? 'receiver' : 'sender');
    if (complaint !== undefined) complaints.push(complaint);
    const discarded = /^ERROR: (.*) failed verification -- update discarded/.exec(line);
    if (discarded !== null) {
      complaints.push({
        side: 'sender',
        name: decodeRsyncName(discarded[1] ?? ''),
        why: 'it changed while it was sent',
      });
    }
    if (!/^(?:rsync error:|IO error encountered|WARNING:|IOERR)/.test(line) || cause === '') cause = line.trim();
  }
  return { complaints, diskFull, diskFails, cause };
}

/**
 * The name and the reason in `rsync: [sender] send_files failed to open "/a": Permission denied (13)` and its kin. The
 * name may hold quotes, so it ends at the last one before the reason; names in brackets of a call end at its comma.
 */
function parseComplaint(line: string, side: 'sender' | 'receiver'): RsyncComplaint | undefined {
  const reason = /: ([^:"]+ \(\d+\))(?: \[|$)/.exec(line)?.[1];
  if (reason === undefined) return undefined;
  const name =
    /"(.*?)",(?:"|\d)/.exec(line)?.[1] ??
    /"(.*)"/.exec(line)?.[1] ??
    /(?:sys_acl_get_file|sys_acl_set_file|acl_[a-z_]+)\((.*), ACL_TYPE_/.exec(line)?.[1];
  return name === undefined ? undefined : { side, name: decodeRsyncName(name), why: reason };
}
