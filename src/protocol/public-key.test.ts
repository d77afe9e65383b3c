import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BytebackError } from '../errors.ts';
import { parsePublicKey, publicKeyOn, publicKeyTypes } from './public-key.ts';

function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function blobOf(...fields: (string | Buffer)[]): string {
  return Buffer.concat(fields.map(field)).toString('base64');
}

const point = (bytes: number) => Buffer.concat([Buffer.from([4]), Buffer.alloc(2 * bytes, 7)]);
const odd = (bytes: number, first: number[]) =>
  Buffer.concat([Buffer.from(first), Buffer.alloc(bytes - first.length, 0xff)]);
const exponent = Buffer.from([1, 0, 1]);
const ed25519 = blobOf('ssh-ed25519', Buffer.alloc(32, 9));

/** One good key of each type. */
const good: Readonly<Record<string, string>> = {
  'ssh-ed25519': ed25519,
  'ssh-rsa': blobOf('ssh-rsa', exponent, odd(257, [0, 0x80])),
  'ecdsa-sha2-nistp256': blobOf('ecdsa-sha2-nistp256', 'nistp256', point(32)),
  'ecdsa-sha2-nistp384': blobOf('ecdsa-sha2-nistp384', 'nistp384', point(48)),
  'ecdsa-sha2-nistp521': blobOf('ecdsa-sha2-nistp521', 'nistp521', point(66)),
  'sk-ssh-ed25519@openssh.com': blobOf('sk-ssh-ed25519@openssh.com', Buffer.alloc(32, 9), 'ssh:'),
  'sk-ecdsa-sha2-nistp256@openssh.com': blobOf('sk-ecdsa-sha2-nistp256@openssh.com', 'nistp256', point(32), 'ssh:'),
};

describe('publicKeyOn', () => {
  it.each(publicKeyTypes)('takes a key of type %s and drops its comment', (type) => {
    const blob = good[type] ?? '';
    expect(publicKeyOn(`${type} ${blob}`)).toEqual({ type, blob });
    expect(publicKeyOn(`${type} ${blob} somebody@some where "quoted" \\ client:other\n`)).toEqual({ type, blob });
  });

  it('takes an RSA key as another program makes it', () => {
    const jwk = generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey.export({ format: 'jwk' });
    const number = (text: string) => {
      const bytes = Buffer.from(text, 'base64url');
      return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes;
    };
    const blob = blobOf('ssh-rsa', number(jwk.e ?? ''), number(jwk.n ?? ''));
    expect(publicKeyOn(`ssh-rsa ${blob}`)).toEqual({ type: 'ssh-rsa', blob });
  });

  it.each([
    ['options before the key', `command="bash" ssh-ed25519 ${ed25519}`],
    ['an option that looks like a type', `no-pty ssh-ed25519 ${ed25519}`],
    ['a cut-off blob', 'ssh-ed25519 AAAA'],
    ['an over-long blob', `ssh-ed25519 ${'A'.repeat(100_000)}`],
    ['bytes after the end', `ssh-ed25519 ${blobOf('ssh-ed25519', Buffer.alloc(32, 9), 'more')}`],
    ['a short ed25519 key', `ssh-ed25519 ${blobOf('ssh-ed25519', Buffer.alloc(31, 9))}`],
    ['a length that overflows', `ssh-ed25519 ${Buffer.from('ffffffff', 'hex').toString('base64')}`],
    ['another inner type', `ssh-ed25519 ${good['ssh-rsa']}`],
    ['another inner type of the same shape', `ssh-ed25519 ${blobOf('ssh-ed25510', Buffer.alloc(32, 9))}`],
    ['another outer type', `ssh-rsa ${ed25519}`],
    ['a certificate', 'ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQ='],
    ['a DSA key', `ssh-dss ${blobOf('ssh-dss', exponent)}`],
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----'],
    ['a tab between the words', `ssh-ed25519\t${ed25519}`],
    ['two spaces between the words', `ssh-ed25519  ${ed25519}`],
    ['a space before', ` ssh-ed25519 ${ed25519}`],
    ['a regular expression', 'ssh-ed25519 AAAA+(a+)+$ x'],
    ['two lines', `ssh-ed25519 ${ed25519}\nssh-ed25519 ${ed25519}\n`],
    ['a carriage return', `ssh-ed25519 ${ed25519} a\rb`],
    ['a NUL', `ssh-ed25519 ${ed25519} a\0b`],
    ['an escape in the comment', `ssh-ed25519 ${ed25519} a\x1b[2Jb`],
    ['a C1 control in the comment', `ssh-ed25519 ${ed25519} a\x9bb`],
    ['nothing', ''],
    ['a comment line', `# ssh-ed25519 ${ed25519}`],
    ['a type in capitals', `SSH-ED25519 ${ed25519}`],
    ['base64url', `ssh-ed25519 ${ed25519.replace(/.$/, '_')}`],
    ['too much padding', `ssh-ed25519 ${ed25519}=`],
    ['a type of Object itself', `constructor ${ed25519}`],
    ['RSA with 2047 bits', `ssh-rsa ${blobOf('ssh-rsa', exponent, odd(256, [0x7f]))}`],
    ['RSA with 1024 bits', `ssh-rsa ${blobOf('ssh-rsa', exponent, odd(129, [0, 0x80]))}`],
    ['RSA with too many bits', `ssh-rsa ${blobOf('ssh-rsa', exponent, odd(2050, [0, 0x80]))}`],
    ['RSA with a negative modulus', `ssh-rsa ${blobOf('ssh-rsa', exponent, odd(256, [0x80]))}`],
    ['RSA with a padded modulus', `ssh-rsa ${blobOf('ssh-rsa', exponent, odd(258, [0, 0, 0x80]))}`],
    [
      'RSA with an even modulus',
      `ssh-rsa ${blobOf('ssh-rsa', exponent, Buffer.concat([odd(256, [0, 0x80]), Buffer.from([2])]))}`,
    ],
    ['RSA with exponent 1', `ssh-rsa ${blobOf('ssh-rsa', Buffer.from([1]), odd(257, [0, 0x80]))}`],
    ['RSA with an empty modulus', `ssh-rsa ${blobOf('ssh-rsa', exponent, '')}`],
    ['another curve inside', `ecdsa-sha2-nistp256 ${blobOf('ecdsa-sha2-nistp256', 'nistp384', point(48))}`],
    [
      'a compressed point',
      `ecdsa-sha2-nistp256 ${blobOf('ecdsa-sha2-nistp256', 'nistp256', Buffer.concat([Buffer.from([2]), Buffer.alloc(32, 7)]))}`,
    ],
    [
      'an application with a space',
      `sk-ssh-ed25519@openssh.com ${blobOf('sk-ssh-ed25519@openssh.com', Buffer.alloc(32), 'ssh: x')}`,
    ],
    ['no application', `sk-ssh-ed25519@openssh.com ${blobOf('sk-ssh-ed25519@openssh.com', Buffer.alloc(32))}`],
  ])('refuses %s', (_what, text) => {
    expect(publicKeyOn(text)).toEqual(expect.any(String));
  });

  it('takes 2048 bits of RSA exactly', () => {
    expect(publicKeyOn(`ssh-rsa ${blobOf('ssh-rsa', exponent, odd(257, [0, 0x80]))}`)).toMatchObject({
      type: 'ssh-rsa',
    });
  });

  it('says what is wrong', () => {
    expect(publicKeyOn(`ssh-rsa ${blobOf('ssh-rsa', exponent, odd(129, [0, 0x80]))}`)).toBe(
      'it has 1024 bits, fewer than 2048',
    );
    expect(publicKeyOn('ssh-ed25519-cert-v01@openssh.com AAAA')).toContain('certificate');
  });

  it('gives back only what it was given, whatever it is given', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(...Object.entries(good)),
        fc.nat(200),
        fc.string({ maxLength: 3, unit: 'binary' }),
        fc.nat(3),
      )
      .map(([[type, blob], at, text, cut]) => {
        const line = `${type} ${blob} comment`;
        return line.slice(0, at) + text + line.slice(at + cut);
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.string({ unit: 'binary' })), (text) => {
        const key = publicKeyOn(text);
        if (typeof key === 'string') return;
        expect(publicKeyTypes).toContain(key.type);
        expect(key.blob).toMatch(/^[A-Za-z0-9+/]+={0,2}$/);
        expect(text.startsWith(`${key.type} ${key.blob}`)).toBe(true);
        expect(publicKeyOn(`${key.type} ${key.blob}`)).toEqual(key);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('parsePublicKey', () => {
  it('throws an explained refusal', () => {
    expect(() => parsePublicKey('nonsense')).toThrow(BytebackError);
    expect(() => parsePublicKey('nonsense')).toThrow('the public key is refused');
    expect(parsePublicKey(`ssh-ed25519 ${ed25519} x`)).toEqual({ type: 'ssh-ed25519', blob: ed25519 });
  });
});
