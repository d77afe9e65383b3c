import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRegistry } from '../registry.ts';
import { parseLogin, readLogin, whoIs } from './identify.ts';

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
