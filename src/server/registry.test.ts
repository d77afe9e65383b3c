import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytebackError } from '../errors.ts';
import type { ClientName } from '../protocol/names.ts';
import { parsePublicKey } from '../protocol/public-key.ts';
import {
  emptyRegistry,
  entriesOf,
  findClient,
  findKey,
  holdsKey,
  parseRegistry,
  type Registry,
  type RegistryEntry,
  readRegistry,
  renderRegistry,
  strangeLines,
  withEntry,
  withoutEntries,
  withoutExpired,
  writeRegistry,
} from './registry.ts';

const keyOf = (fill: number) => {
  const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), Buffer.alloc(32, fill)]);
  return parsePublicKey(`ssh-ed25519 ${blob.toString('base64')}`);
};
const client = (name: string, fill: number): RegistryEntry => ({
  role: 'client',
  name: name as ClientName,
  key: keyOf(fill),
});
const invite = (name: string, fill: number, expiresAt: string, replace = false): RegistryEntry => ({
  role: 'invite',
  name: name as ClientName,
  key: keyOf(fill),
  expiresAt: new Date(expiresAt),
  replace,
});
const admin: RegistryEntry = { role: 'admin', name: 'ops', key: keyOf(99) };

const registryOf = (...entries: RegistryEntry[]): Registry => entries.reduce(withEntry, emptyRegistry);
const lineOf = (entry: RegistryEntry) => renderRegistry({ lines: [entry] }).trimEnd();

describe('the lines of the registry', () => {
  it('are as sshd and people read them', () => {
    const blob = keyOf(1).blob;
    expect(lineOf(client('web1', 1))).toBe(
      `restrict,command="/usr/lib/byteback/byteback-receive" ssh-ed25519 ${blob} client:web1`,
    );
    expect(lineOf(invite('web1', 1, '2026-11-22T12:00:30Z', true))).toBe(
      `restrict,expiry-time="202611221201Z",command="/usr/lib/byteback/byteback-receive" ssh-ed25519 ${blob} invite:web1:20261122T120030Z:replace`,
    );
    expect(lineOf(admin)).toContain(' admin:ops');
  });

  it('come back as they were, strange lines and comments included', () => {
    const text = `${renderRegistry(registryOf(client('web1', 1), admin, invite('web2', 2, '2026-11-22T12:00:00Z')))}\n# note\nssh-rsa AAAA somebody\n`;
    expect(renderRegistry(parseRegistry(text))).toBe(text);
    expect(entriesOf(parseRegistry(text))).toHaveLength(3);
    expect(strangeLines(parseRegistry(text))).toEqual([{ line: 8, why: 'it is not a line of byteback' }]);
  });

  it('survive any set of entries', () => {
    const entry = fc.oneof(
      fc.tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.nat(255)).map(([name, fill]) => client(name, fill)),
      fc
        .tuple(
          fc.nat(255),
          fc.date({ min: new Date('2020-01-01'), max: new Date('2099-01-01'), noInvalidDate: true }),
          fc.boolean(),
        )
        .map(([fill, date, replace]) => invite('web1', fill, `${date.toISOString().slice(0, 19)}Z`, replace)),
    );
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const registry = { lines: entries };
        const reserved = entries.filter(({ name }) => ['all', 'fs', 'admin', 'invite'].includes(name));
        expect(entriesOf(parseRegistry(renderRegistry(registry)))).toEqual(
          entries.filter((one) => !reserved.includes(one)),
        );
      }),
    );
  });
});

describe('a line that is not exactly ours', () => {
  const line = lineOf(client('web1', 1));
  const redeemedLine = lineOf({
    role: 'redeemed',
    name: 'web1' as ClientName,
    key: keyOf(1),
    expiresAt: new Date('2026-11-22T12:00:00Z'),
    redeemedAt: new Date('2026-11-21T10:00:00Z'),
  });
  const inviteLine = lineOf(invite('web1', 1, '2026-11-22T12:00:00Z'));
  it.each([
    ['without restrict', line.replace('restrict,', '')],
    ['with another command', line.replace('byteback-receive', 'bash')],
    ['with more options', line.replace('restrict,', 'restrict,pty,')],
    ['with a certificate authority', line.replace('restrict,', 'restrict,cert-authority,')],
    ['with an expiry, but no invite', inviteLine.replace(/invite:.*/, 'client:web1')],
    ['with an unknown role', line.replace('client:', 'root:')],
    ['with a bad name', line.replace('web1', '../web1')],
    ['with a reserved name', line.replace('web1', 'current')],
    ['with a name in capitals', line.replace('web1', 'WEB1')],
    ['with a word after it', `${line} more`],
    ['with a space before', ` ${line}`],
    ['with a broken key', line.replace('AAAAC3', 'AAAAC4')],
    ['with two different expiry times', inviteLine.replace('202611221200Z', '203611221200Z')],
    ['with a date that does not exist', inviteLine.replace('20261122T', '20260231T')],
    ['with a redeemed invite without a time', redeemedLine.replace(/:20261121T100000Z$/, '')],
    ['with a redeemed invite at no time', redeemedLine.replace(/20261121T/, '20261131T')],
    ['with an invite that never ends', inviteLine.replace('expiry-time="202611221200Z",', '')],
    ['with an admin label of two words', lineOf(admin).replace('admin:ops', 'admin:o:ps')],
    ['with a carriage return', `${line}\r`],
  ])('%s gives nobody a role', (_what, text) => {
    const registry = parseRegistry(`${text}\n`);
    expect(entriesOf(registry)).toEqual([]);
    expect(strangeLines(registry)).toHaveLength(1);
    expect(findKey(registry, keyOf(1).blob)).toBeUndefined();
    expect(renderRegistry(registry)).toBe(`${text}\n`);
  });
});

describe('who a key belongs to', () => {
  it('is one entry', () => {
    const registry = registryOf(client('web1', 1), client('web2', 2), admin);
    expect(findKey(registry, keyOf(2).blob)).toMatchObject({ role: 'client', name: 'web2' });
    expect(findKey(registry, keyOf(99).blob)).toMatchObject({ role: 'admin' });
    expect(findKey(registry, keyOf(3).blob)).toBeUndefined();
    expect(findClient(registry, 'web2' as ClientName)).toMatchObject({ key: keyOf(2) });
    expect(findClient(registry, 'ops' as ClientName)).toBeUndefined();
  });

  it('is nobody when the key stands on two lines', () => {
    const registry = parseRegistry(`${lineOf(client('web1', 1))}\n${lineOf(client('web2', 1))}\n`);
    expect(findKey(registry, keyOf(1).blob)).toBeUndefined();
  });
});

describe('changing the registry', () => {
  it('refuses a key that stands anywhere, strange lines included', () => {
    const strange = parseRegistry(`from="192.0.2.1" ssh-ed25519 ${keyOf(7).blob} somebody\n`);
    expect(holdsKey(strange, keyOf(7).blob)).toBe(true);
    expect(() => withEntry(strange, client('web1', 7))).toThrow(BytebackError);
    expect(() => withEntry(registryOf(admin), client('web1', 99))).toThrow('refused');
  });

  it('refuses a second key for a client and for an admin label, but not an invite beside its client', () => {
    expect(() => registryOf(client('web1', 1), client('web1', 2))).toThrow('has a key already');
    expect(() => registryOf(admin, { ...admin, key: keyOf(3) })).toThrow('has a key already');
    expect(entriesOf(registryOf(client('web1', 1), invite('web1', 2, '2026-11-22T12:00:00Z', true)))).toHaveLength(2);
  });

  it('drops what has expired, at the very second', () => {
    const registry = registryOf(
      client('web1', 1),
      invite('web2', 2, '2026-11-22T12:00:00Z'),
      invite('web3', 3, '2026-11-22T12:00:01Z'),
    );
    const names = entriesOf(withoutExpired(registry, new Date('2026-11-22T12:00:00Z'))).map(({ name }) => name);
    expect(names).toEqual(['web1', 'web3']);
  });

  it('removes entries and keeps the rest in order', () => {
    const registry = withoutEntries(
      registryOf(client('web1', 1), client('web2', 2), admin),
      ({ name }) => name === 'web1',
    );
    expect(entriesOf(registry).map(({ name }) => name)).toEqual(['web2', 'ops']);
    expect(renderRegistry(registry)).toMatch(/^# byteback's registry/);
  });
});

describe('the file', () => {
  let directory = '';
  const owner = { ownerUid: process.getuid?.() ?? 0 };
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'byteback-registry-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('is written readable for all and read back', async () => {
    const path = join(directory, 'authorized_keys');
    await writeRegistry(path, registryOf(client('web1', 1)), owner);
    expect((await stat(path)).mode & 0o7777).toBe(0o644);
    expect(await readRegistry(path, owner)).toEqual(parseRegistry(await readFile(path, 'utf8')));
  });

  it('is not read when others can write it, when it is a link, or when it is missing', async () => {
    const path = join(directory, 'authorized_keys');
    await expect(readRegistry(path, owner)).rejects.toMatchObject({ exit: 'usage' });
    await writeFile(path, '');
    await chmod(path, 0o666);
    await expect(readRegistry(path, owner)).rejects.toMatchObject({ exit: 'refused' });
    await chmod(path, 0o644);
    await symlink(path, `${path}.link`);
    await expect(readRegistry(`${path}.link`, owner)).rejects.toMatchObject({ exit: 'refused' });
    await expect(readRegistry(path, { ownerUid: owner.ownerUid + 1 })).rejects.toMatchObject({ exit: 'refused' });
  });

  it('is not written into a directory that others can write', async () => {
    await chmod(directory, 0o777);
    await expect(writeRegistry(join(directory, 'authorized_keys'), emptyRegistry, owner)).rejects.toMatchObject({
      exit: 'refused',
    });
  });
});
