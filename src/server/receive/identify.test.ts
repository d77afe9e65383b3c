import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../config/server-config.ts';
import { parseClientName } from '../../protocol/names.ts';
import { parseRegistry } from '../registry.ts';
import { isInside, parseLogin, readLogin, requireAddress, whoIs } from './identify.ts';

const blobOf = (byte: string) =>
  Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32, byte),
  ]).toString('base64');
const [web, admin, invite] = [blobOf('w'), blobOf('a'), blobOf('i')];
const command = 'command="/usr/lib/byteback/byteback-receive"';
const registry = parseRegistry(
  [
    `restrict,${command} ssh-ed25519 ${web} client:web1`,
    `restrict,${command} ssh-ed25519 ${admin} admin:ops`,
    `restrict,expiry-time="202611221200Z",${command} ssh-ed25519 ${invite} invite:web2:20261122T120000Z`,
    '',
  ].join('\n'),
);

describe('how somebody logged in', () => {
  it('is read as sshd writes it', () => {
    expect(parseLogin(`publickey ssh-ed25519 ${web}\n`)).toEqual({ keyBlob: web });
    expect(parseLogin('password\n')).toEqual({ password: true });
    expect(parseLogin('keyboard-interactive/pam\n')).toEqual({ password: true });
    expect(parseLogin(`publickey ssh-ed25519 ${web}\npassword\n`)).toEqual({ keyBlob: web });
  });

  it.each([
    '',
    '\n',
    'none\n',
    'hostbased ssh-ed25519 AAAA\n',
    'publickey\n',
    'publickey ssh-ed25519\n',
    `publickey ssh-ed25519 ${'A'.repeat(70_000)}\n`,
    `publickey ssh-ed25519 ${web} x\n`,
    `publickey ssh-ed25519 ${web}\npublickey ssh-ed25519 ${admin}\n`,
  ])('is nothing to rely on: %j', (text) => {
    expect(parseLogin(text)).toBeUndefined();
  });

  it('is unknown without the file', async () => {
    await expect(readLogin(undefined)).rejects.toMatchObject({ exit: 'refused' });
    await expect(readLogin('/proc/no-such-file')).rejects.toMatchObject({ exit: 'refused' });
    const directory = await mkdtemp(join(tmpdir(), 'byteback-login-'));
    try {
      await writeFile(join(directory, 'auth'), `publickey ssh-ed25519 ${web}\n`);
      expect(await readLogin(join(directory, 'auth'))).toEqual({ keyBlob: web });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('who it is', () => {
  it('is what the registry says of the key', () => {
    expect(whoIs({ keyBlob: web }, registry)).toEqual({ role: 'client', name: 'web1' });
    expect(whoIs({ keyBlob: admin }, registry)).toEqual({ role: 'admin' });
    expect(whoIs({ keyBlob: invite }, registry)).toEqual({ role: 'invite', blob: invite });
    expect(whoIs({ password: true }, registry)).toEqual({ role: 'password' });
  });

  it('is nobody for an unknown key, or one that stands there twice', () => {
    expect(() => whoIs({ keyBlob: blobOf('x') }, registry)).toThrow('no client');
    const twice = parseRegistry(
      ['web1', 'web2'].map((name) => `restrict,${command} ssh-ed25519 ${web} client:${name}\n`).join(''),
    );
    expect(() => whoIs({ keyBlob: web }, twice)).toThrow('no client');
  });
});

describe('where it may come from', () => {
  it.each([
    ['192.0.2.7', '192.0.2.0/24', true],
    ['192.0.3.7', '192.0.2.0/24', false],
    ['::ffff:192.0.2.7', '192.0.2.0/24', true],
    ['192.0.2.7', '192.0.2.7', true],
    ['2001:db8::1', '2001:db8::/32', true],
    ['2001:db9::1', '2001:db8::/32', false],
    ['', '192.0.2.0/24', false],
    ['UNKNOWN', '192.0.2.0/24', false],
  ])('%s is inside %s: %s', (address, network, expected) => {
    expect(isInside(address, network)).toBe(expected);
  });

  it('is anywhere by default', () => {
    const name = parseClientName('web1');
    if (name === undefined) throw new Error('a name');
    const config = parseServerConfig('server.toml', '[client.web1]\nfrom = ["192.0.2.0/24"]\n');
    expect(() => requireAddress(config.policyOf(name), '192.0.2.9 5 192.0.2.1 22')).not.toThrow();
    expect(() => requireAddress(config.policyOf(name), '198.51.100.1 5 192.0.2.1 22')).toThrow('may not come');
    expect(() => requireAddress(config.policyOf(name), undefined)).toThrow('may not come');
    expect(() => requireAddress(parseServerConfig('server.toml', '').policyOf(name), undefined)).not.toThrow();
  });
});
