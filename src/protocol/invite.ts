import { createHash, createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { BytebackError } from '../errors.ts';
import { type ClientName, whyNotClientName } from './names.ts';
import { type PublicKey, publicKeyOn } from './public-key.ts';

/**
 * An invite is typed by hand or pasted, so it is short: base64url of
 *
 *     version (1 byte, 0x01) · secret (16) · the server's ed25519 host key (32) · client name (1-128) · checksum (4)
 *
 * The secret is expanded to the seed of a one-time ed25519 key: 16 random bytes are as strong as that kind of key is.
 */
const version = 1;
const secretLength = 16;
const hostKeyLength = 32;
const checksumLength = 4;
const nameAt = 1 + secretLength + hostKeyLength;
const maxTokenLength = 256;

const ed25519 = 'ssh-ed25519';
/** DER before the 32 bytes of a seed in PKCS #8 (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/** What the server keeps and hands out for one invite. */
export interface MadeInvite {
  /** The only copy of the secret; for the client. */
  readonly token: string;
  /** For the registry. */
  readonly publicKey: PublicKey;
}

/** What the client gets out of a token. */
export interface OpenedInvite {
  readonly name: ClientName;
  /** The one-time key as a file that ssh reads, ends with a line feed. */
  readonly privateKeyFile: string;
  /** Type and key of the server, `ssh-ed25519 AAAA…`: what follows the host in a line of known_hosts. */
  readonly hostKeyLine: string;
}

/** A field with its length before it (RFC 4251, section 5). */
function field(content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function digest(label: string, content: Uint8Array): Buffer {
  return createHash('sha256').update(`byteback ${label} ${version}\0`).update(content).digest();
}

interface OneTimeKey {
  readonly seed: Buffer;
  readonly publicBytes: Buffer;
  readonly blob: Buffer;
}

function oneTimeKey(secret: Uint8Array): OneTimeKey {
  const seed = digest('invite key', secret);
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' });
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  const publicBytes = Buffer.from(x ?? '', 'base64url');
  return { seed, publicBytes, blob: Buffer.concat([field(ed25519), field(publicBytes)]) };
}

/** The key in OpenSSH's own format, unencrypted (PROTOCOL.key of its sources): ssh reads ed25519 keys in no other. */
function opensshPrivateKey({ seed, publicBytes, blob }: OneTimeKey): string {
  // Two equal numbers that tell a right passphrase from a wrong one; without a passphrase any number does.
  const check = digest('invite check', publicBytes).subarray(0, 4);
  const secrets = [
    check,
    check,
    field(ed25519),
    field(publicBytes),
    field(Buffer.concat([seed, publicBytes])),
    field('byteback invite'),
  ];
  const length = secrets.reduce((sum, part) => sum + part.length, 0);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (length % 8)) % 8));
  const count = Buffer.from([0, 0, 0, 1]);
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    field('none'),
    field('none'),
    field(''),
    count,
    field(blob),
    field(Buffer.concat([...secrets, padding])),
  ]);
  const lines = file.toString('base64').match(/.{1,70}/g) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n');
}

/** The 32 bytes of an ed25519 key's blob. */
function rawKey(key: PublicKey): Buffer | undefined {
  return key.type === ed25519 ? Buffer.from(key.blob, 'base64').subarray(-hostKeyLength) : undefined;
}

/**
 * Makes an invite.
 * @param hostKeyLine the server's ed25519 host key, as in `/etc/ssh/ssh_host_ed25519_key.pub`.
 * @param secret 16 random bytes; given only by tests.
 * @throws BytebackError `usage` when the host key is of another type.
 */
export function makeInvite(
  name: ClientName,
  hostKeyLine: string,
  secret: Uint8Array = randomBytes(secretLength),
): MadeInvite {
  const hostKey = publicKeyOn(hostKeyLine);
  const raw = typeof hostKey === 'string' ? undefined : rawKey(hostKey);
  if (raw === undefined || secret.length !== secretLength) {
    throw new BytebackError('usage', {
      what: 'cannot make an invite',
      why: 'the server has no ed25519 host key to put into it',
      fix: 'make one with: ssh-keygen -A, restart sshd, and try again',
    });
  }
  const content = Buffer.concat([Buffer.from([version]), secret, raw, Buffer.from(name)]);
  const token = Buffer.concat([content, digest('invite', content).subarray(0, checksumLength)]).toString('base64url');
  return { token, publicKey: { type: ed25519, blob: oneTimeKey(secret).blob.toString('base64') } };
}

function badInvite(why: string): BytebackError {
  return new BytebackError('usage', {
    what: 'the invite cannot be read',
    why,
    fix: 'paste it again, all of it; or ask for a new one: byteback client invite NAME',
  });
}

/** @throws BytebackError `usage` when the token is not one, is cut off or mistyped, or is of a newer byteback. */
export function openInvite(token: string): OpenedInvite {
  if (!/^[A-Za-z0-9_-]+$/.test(token) || token.length > maxTokenLength)
    throw badInvite('it is no text that byteback made');
  const bytes = Buffer.from(token, 'base64url');
  const content = bytes.subarray(0, -checksumLength);
  if (bytes.length > 0 && bytes[0] !== version) throw badInvite('it is of another version of byteback, or mistyped');
  if (content.length <= nameAt || bytes.toString('base64url') !== token) throw badInvite('it is cut off');
  if (!digest('invite', content).subarray(0, checksumLength).equals(bytes.subarray(-checksumLength))) {
    throw badInvite('its checksum does not match: it is mistyped or cut off');
  }
  const name = content.subarray(nameAt).toString('latin1');
  const why = whyNotClientName(name);
  if (why !== undefined) throw badInvite(`its client name: ${why}`);
  const hostKey = Buffer.concat([field(ed25519), field(content.subarray(1 + secretLength, nameAt))]);
  return {
    name: name as ClientName,
    privateKeyFile: opensshPrivateKey(oneTimeKey(content.subarray(1, 1 + secretLength))),
    hostKeyLine: `${ed25519} ${hostKey.toString('base64')}`,
  };
}
