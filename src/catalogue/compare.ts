/**
 * Compares two catalogues record by record: pure, streaming, in memory that does not grow with them. Where both are the
 * same, only bytes are looked at; what differs is handed on.
 */

/** Bytes piece by piece; undefined at the end. */
export type ByteSource = () => Uint8Array | undefined;

/** What differs; records without their NUL, as byte strings. */
export interface Differences {
  /** Only in the old catalogue. */
  gone(record: string): void;
  /** Only in the new one. */
  added(record: string): void;
  /** The same path in both, and something else about it. */
  changed(oldRecord: string, newRecord: string): void;
}

/** A place in a stream of records. */
interface Cursor {
  bytes: Buffer;
  /** Start of the current record; at the end of the stream, equal to `end`. */
  at: number;
  end: number;
  readonly source: ByteSource;
  ended: boolean;
}

const nul = 0;
const pathEndByte = 1;

/** Tells every difference between two streams of sorted records. */
export function compareCatalogues(oldSource: ByteSource, newSource: ByteSource, differences: Differences): void {
  const before = open(oldSource);
  const after = open(newSource);
  for (;;) {
    skipEqual(before, after);
    const hasOld = fill(before);
    const hasNew = fill(after);
    if (!hasOld && !hasNew) return;
    const order = !hasOld ? 1 : !hasNew ? -1 : comparePaths(before, after);
    if (order < 0) differences.gone(take(before));
    else if (order > 0) differences.added(take(after));
    else {
      const oldRecord = take(before);
      const newRecord = take(after);
      // The same record cut by the end of a piece in one of the streams.
      if (oldRecord !== newRecord) differences.changed(oldRecord, newRecord);
    }
  }
}

/** Tells every record of a stream. */
export function eachRecord(source: ByteSource, visit: (record: string) => void): void {
  const cursor = open(source);
  while (fill(cursor)) visit(take(cursor));
}

function open(source: ByteSource): Cursor {
  return { bytes: Buffer.alloc(0), at: 0, end: 0, source, ended: false };
}

/** Goes on over records that are the same in both, as far as both have bytes at hand. */
function skipEqual(before: Cursor, after: Cursor): void {
  for (;;) {
    const { bytes: a, at: atA } = before;
    const { bytes: b, at: atB } = after;
    const length = Math.min(before.end - atA, after.end - atB);
    const equal = equalBytes(a.subarray(atA, atA + length), b.subarray(atB, atB + length));
    const whole = equal === 0 ? 0 : Math.max(0, a.lastIndexOf(nul, atA + equal - 1) - atA + 1);
    before.at += whole;
    after.at += whole;
    // Stopped by a difference, or by the end of what is at hand: only then more is fetched, and only if that helps.
    if (equal < length) return;
    const more =
      (before.at + (equal - whole) >= before.end && extend(before)) ||
      (after.at + (equal - whole) >= after.end && extend(after));
    if (!more) return;
  }
}

/** Bytes that are compared in one step. */
const blockBytes = 8192;

/** How many bytes at the beginning of two pieces of one length are the same. */
function equalBytes(one: Uint8Array, other: Uint8Array): number {
  let equal = 0;
  // Whole blocks by memcmp(3): most of what is compared each night is the same.
  while (
    equal + blockBytes <= one.length &&
    Buffer.compare(one.subarray(equal, equal + blockBytes), other.subarray(equal, equal + blockBytes)) === 0
  ) {
    equal += blockBytes;
  }
  while (equal < one.length && one[equal] === other[equal]) equal += 1;
  return equal;
}

/** Makes sure that the current record is there to its end; false at the end of the stream. */
function fill(cursor: Cursor): boolean {
  while (cursor.bytes.indexOf(nul, cursor.at) < 0) {
    if (!extend(cursor)) {
      // A last record without its NUL is a torn one.
      return false;
    }
  }
  return true;
}

/** Fetches more bytes behind those at hand; false at the end of the stream. */
function extend(cursor: Cursor): boolean {
  if (cursor.ended) return false;
  const piece = cursor.source();
  if (piece === undefined || piece.length === 0) {
    cursor.ended = true;
    return false;
  }
  cursor.bytes = Buffer.concat([cursor.bytes.subarray(cursor.at), piece]);
  cursor.at = 0;
  cursor.end = cursor.bytes.length;
  return true;
}

/** The current record, as a byte string; goes on to the next. */
function take(cursor: Cursor): string {
  const end = cursor.bytes.indexOf(nul, cursor.at);
  const text = cursor.bytes.toString('latin1', cursor.at, end);
  cursor.at = end + 1;
  return text;
}

/** The order of the paths of the two current records. */
function comparePaths(before: Cursor, after: Cursor): number {
  const { bytes: a, at: atA } = before;
  const { bytes: b, at: atB } = after;
  for (let offset = 0; ; offset += 1) {
    const one = a[atA + offset] ?? nul;
    const other = b[atB + offset] ?? nul;
    if (one !== other) return one - other;
    if (one === pathEndByte || one === nul) return 0;
  }
}
