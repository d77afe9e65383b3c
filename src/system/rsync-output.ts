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
