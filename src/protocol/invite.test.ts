import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { run } from '../system/run.ts';
import { makeInvite, openInvite } from './invite.ts';
import type { ClientName } from './names.ts';

const hostKeyOf = (bytes: Uint8Array) => {
  const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), bytes]).toString('base64');
  return `ssh-ed25519 ${blob}`;
};
const web1 = 'web1.example.net' as ClientName;
const hostKey = hostKeyOf(Buffer.alloc(32, 5));

describe('an invite', () => {
  it('carries the name, the host key and a one-time key that ssh-keygen reads as the one in the registry', async () => {
    const { token, publicKey } = makeInvite(web1, `${hostKey} root@vault\n`);
    const opened = openInvite(token);
    expect(opened).toMatchObject({ name: web1, hostKeyLine: hostKey });
    const directory = mkdtempSync(join(tmpdir(), 'byteback-invite-'));
    try {
      writeFileSync(join(directory, 'key'), opened.privateKeyFile, { mode: 0o600 });
      const { stdout } = await run(['ssh-keygen', '-y', '-f', join(directory, 'key')]);
      expect(stdout.toString()).toBe(`${publicKey.type} ${publicKey.blob} byteback invite\n`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is short enough for one line, and needs no quotes in a shell', () => {
    const { token } = makeInvite(web1, hostKey);
    expect(token.length).toBeLessThanOrEqual(92);
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  it('is another one each time', () => {
    expect(makeInvite(web1, hostKey).token).not.toBe(makeInvite(web1, hostKey).token);
  });

  it('is made only for an ed25519 host key', () => {
    expect(() => makeInvite(web1, 'ssh-rsa AAAA')).toThrow('cannot make an invite');
  });

  it('is the same for every secret, host key and name', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    fc.assert(
      fc.property(bytes(16), bytes(32), fc.stringMatching(/^[a-z0-9]{1,20}x$/), (secret, host, name) => {
        const opened = openInvite(makeInvite(name as ClientName, hostKeyOf(host), secret).token);
        expect([opened.name, opened.hostKeyLine]).toEqual([name, hostKeyOf(host)]);
      }),
    );
  });
});

describe('a token that is mistyped', () => {
  const { token } = makeInvite(web1, hostKey, Buffer.alloc(16, 1));

  it.each([
    ['empty', ''],
    ['cut off', token.slice(0, -3)],
    ['far too short', 'AQ'],
    ['with a space', `${token.slice(0, 9)} ${token.slice(9)}`],
    ['in base64 of the other kind', `${token.slice(0, -1)}+`],
    ['of another version', `Ag${token.slice(2)}`],
    ['too long', token.repeat(4)],
    ['an option', '--version'],
  ])('%s is refused', (_what, text) => {
    expect(() => openInvite(text)).toThrow('the invite cannot be read');
  });

  it('is refused wherever one character differs', () => {
    for (let at = 0; at < token.length; at += 1) {
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(() => openInvite(token.slice(0, at) + other + token.slice(at + 1)), `at ${at}`).toThrow();
    }
  });

  it('never does anything but throw our error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
        expect(() => openInvite(text)).toThrow('the invite cannot be read');
      }),
    );
  });
});
