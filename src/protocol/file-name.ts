/**
 * File names are bytes. On screens, in logs, in JSON and in records they appear in one escaped form that is safe to print
 * and can be turned back into the same bytes: what is not printable, not valid UTF-8, or able to disturb a terminal
 * (C0, C1, bidirectional controls, line separators) is `\xNN` for each byte, and a backslash is `\\`.
 */

/** Code points that are valid text but hidden, or that change how the text around them is shown. */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/u;

function escapeByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Length of the valid UTF-8 sequence at `at`, or 0 (Unicode 16, table 3-7). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const second = bytes[at + 1] ?? 0;
  const follows = (offset: number) => ((bytes[at + offset] ?? 0) & 0xc0) === 0x80;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (first === 0xe0 && second < 0xa0) return 0;
    if (first === 0xed && second > 0x9f) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (first === 0xf0 && second < 0x90) return 0;
    if (first === 0xf4 && second > 0x8f) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

const decoder = new TextDecoder();
const plain = /^[\x20-\x5b\x5d-\x7e]*$/;

/** The escaped form of a file name's bytes (or of any text that came from somewhere else). */
export function escapeName(name: Uint8Array | string): string {
  if (typeof name === 'string' && plain.test(name)) return name;
  const bytes = typeof name === 'string' ? new TextEncoder().encode(name) : name;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  // Nearly all names are: the rest of this costs fifty times as much.
  if (plain.test(text)) return text;
  let escaped = '';
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] as number;
    if (byte === 0x5c) {
      escaped += '\\\\';
      at += 1;
      continue;
    }
    const length = sequenceLength(bytes, at);
    const character = length === 0 ? '' : decoder.decode(bytes.subarray(at, at + length));
    if (length === 0 || unsafe.test(character) || character === '\ufeff' || character === '') {
      for (let offset = 0; offset < Math.max(length, 1); offset += 1)
        escaped += escapeByte(bytes[at + offset] as number);
    } else {
      escaped += character;
    }
    at += Math.max(length, 1);
  }
  return escaped;
}

/** The bytes of an escaped name. A backslash that starts no escape stands for itself. */
export function unescapeName(escaped: string): Buffer {
  if (!escaped.includes('\\')) return Buffer.from(escaped, 'utf8');
  const parts: Buffer[] = [];
  let from = 0;
  for (const match of escaped.matchAll(/\\(?:\\|x([0-9a-f]{2}))/g)) {
    parts.push(Buffer.from(escaped.slice(from, match.index), 'utf8'));
    parts.push(match[1] === undefined ? Buffer.from('\\') : Buffer.from([Number.parseInt(match[1], 16)]));
    from = match.index + match[0].length;
  }
  parts.push(Buffer.from(escaped.slice(from), 'utf8'));
  return Buffer.concat(parts);
}
