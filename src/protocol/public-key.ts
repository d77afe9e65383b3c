import { BytebackError } from '../errors.ts';

/** The kinds of public key that byteback takes: what OpenSSH makes today, no certificates, no DSA. */
export const publicKeyTypes = [
  'ssh-ed25519',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
] as const;
export type PublicKeyType = (typeof publicKeyTypes)[number];

/** A checked public key. The comment of the line it came from is dropped: comments in the registry are ours. */
export interface PublicKey {
  readonly type: PublicKeyType;
  /** The key itself in canonical base64: equal keys have equal blobs. */
  readonly blob: string;
}

/** No line of a key that is taken is longer: RSA with 16,384 bits needs 2,800 characters. */
const maxLineLength = 8192;
const minRsaBits = 2048;
const maxRsaBits = 16_384;
const maxApplicationLength = 256;

/** One line of text as it stands in a `.pub` file: no options, one space between the words. */
const linePattern = /^([a-z0-9.@-]{1,64}) ([A-Za-z0-9+/]+={0,2})(?: .*)?$/;

/** Reads the length-prefixed fields of a key's blob (RFC 4251, section 5). */
class BlobReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The next field, or undefined when the blob ends before the field does. */
  next(): Buffer | undefined {
    if (this.#at + 4 > this.#bytes.length) return undefined;
    const length = this.#bytes.readUInt32BE(this.#at);
    const end = this.#at + 4 + length;
    if (end > this.#bytes.length) return undefined;
    const field = this.#bytes.subarray(this.#at + 4, end);
    this.#at = end;
    return field;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }
}

/** Bits of a positive number in the shortest form (RFC 4251, mpint), or undefined when it is another form. */
function positiveBits(number: Buffer | undefined): number | undefined {
  const first = number?.[0];
  if (number === undefined || first === undefined || first >= 0x80) return undefined;
  if (first !== 0) return number.length * 8 - Math.clz32(first) + 24;
  const second = number[1];
  return second === undefined || second < 0x80 ? undefined : (number.length - 1) * 8;
}

function whyNotRsa(exponent: Buffer | undefined, modulus: Buffer | undefined): string | undefined {
  const exponentBits = positiveBits(exponent);
  const modulusBits = positiveBits(modulus);
  if (exponentBits === undefined || modulusBits === undefined) return 'its numbers are malformed';
  if (exponentBits < 2 || exponentBits > 64 || ((exponent?.at(-1) ?? 0) & 1) === 0) return 'its exponent is unusable';
  if (modulusBits < minRsaBits) return `it has ${modulusBits} bits, fewer than ${minRsaBits}`;
  if (modulusBits > maxRsaBits) return `it has ${modulusBits} bits, more than ${maxRsaBits}`;
  return ((modulus?.at(-1) ?? 0) & 1) === 0 ? 'its modulus is even' : undefined;
}

function whyNotCurvePoint(type: string, curve: Buffer | undefined, point: Buffer | undefined): string | undefined {
  const name = /nistp\d+/.exec(type)?.[0] ?? '';
  const fieldBytes = { nistp256: 32, nistp384: 48, nistp521: 66 }[name] ?? 0;
  if (curve?.toString('latin1') !== name) return 'its curve is not the one that its type names';
  return point?.length === 1 + 2 * fieldBytes && point[0] === 0x04
    ? undefined
    : 'its point has the wrong length or form';
}

function whyNotApplication(application: Buffer | undefined): string | undefined {
  const text = application?.toString('latin1') ?? '';
  return text.length <= maxApplicationLength && /^[\x21-\x7e]+$/.test(text)
    ? undefined
    : 'its application is malformed';
}

/** Why the fields after the inner type are not those of a key of this type. */
function whyNotFields(type: PublicKeyType, fields: BlobReader): string | undefined {
  switch (type) {
    case 'ssh-ed25519':
      return fields.next()?.length === 32 ? undefined : 'its length is not that of an ed25519 key';
    case 'ssh-rsa':
      return whyNotRsa(fields.next(), fields.next());
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return whyNotCurvePoint(type, fields.next(), fields.next());
    case 'sk-ssh-ed25519@openssh.com':
      if (fields.next()?.length !== 32) return 'its length is not that of an ed25519 key';
      return whyNotApplication(fields.next());
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return whyNotCurvePoint(type, fields.next(), fields.next()) ?? whyNotApplication(fields.next());
  }
}

function isKnownType(type: string): type is PublicKeyType {
  return (publicKeyTypes as readonly string[]).includes(type);
}

function whyNotType(type: string): string {
  if (type.includes('-cert-')) return 'it is a certificate; byteback takes plain keys only';
  if (type === 'ssh-dss') return 'DSA keys are too weak';
  return 'its type is unknown, or it has options before it';
}

/** The key of a type and a blob, or the reason why they are none. */
function checkedKey(type: string, blob: string): PublicKey | string {
  if (!isKnownType(type)) return whyNotType(type);
  const bytes = Buffer.from(blob, 'base64');
  if (bytes.toString('base64') !== blob) return 'its base64 is not well formed';
  const fields = new BlobReader(bytes);
  if (fields.next()?.toString('latin1') !== type)
    return 'the key inside is cut off, or is not of the type that the line names';
  const why = whyNotFields(type, fields);
  if (why !== undefined) return why;
  return fields.ended ? { type, blob } : 'it has bytes after its end';
}

/** The key on one line of a `.pub` file, or the reason why there is none. A line feed at its end is no part of it. */
export function publicKeyOn(text: string): PublicKey | string {
  const line = text.replace(/\r?\n$/, '');
  if (line.trim() === '') return 'it is empty';
  if (line.includes('PRIVATE KEY')) return 'it is a private key; give the public one, the file that ends in .pub';
  if (line.length > maxLineLength) return `it is longer than ${maxLineLength} characters`;
  if (/[\r\n]/.test(line)) return 'it has more than one line';
  if (/\p{Cc}/u.test(line)) return 'it has control characters';
  const [, type, blob] = linePattern.exec(line) ?? [];
  if (type === undefined || blob === undefined) return 'it is not a line of the form: ssh-ed25519 AAAA…';
  return checkedKey(type, blob);
}

/**
 * The key on one line of a `.pub` file; its comment is dropped.
 * @throws BytebackError `refused` for everything that is not exactly one well-formed key of a known type.
 */
export function parsePublicKey(text: string): PublicKey {
  const key = publicKeyOn(text);
  if (typeof key !== 'string') return key;
  throw new BytebackError('refused', {
    what: 'the public key is refused',
    why: key,
    fix: 'give one line of an OpenSSH .pub file, as ssh-keygen -t ed25519 makes it',
  });
}
