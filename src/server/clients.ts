import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { BytebackError, reasonOf } from '../errors.ts';
import { makeInvite } from '../protocol/invite.ts';
import { type ClientName, parseClientName, type SnapshotName, whyNotClientName } from '../protocol/names.ts';
import { publicKeyOn } from '../protocol/public-key.ts';
import { effectiveSettings } from '../system/sshd.ts';
import type { Server } from './open-server.ts';
import { hasHistory, registerClient } from './register.ts';
import {
  entriesOf,
  findClient,
  type Registry,
  readRegistry,
  withEntry,
  withoutEntries,
  withoutExpired,
  writeRegistry,
} from './registry.ts';
import { withRegistryLock } from './registry-lock.ts';
import { clientExists, listClientNames, listSnapshotNames } from './store.ts';

/** How a client stands: with a key, with an invite that waits, or with files in the store only. */
export type ClientState = 'registered' | 'invited' | 'revoked';

export interface ClientSummary {
  readonly client: ClientName;
  readonly state: ClientState;
  readonly snapshots: number;
  /** Null before the first one. */
  readonly newest: SnapshotName | null;
  /** As `ssh-keygen -l` prints it; null without a key. */
  readonly fingerprint: string | null;
  /** When its pending invite expires; null without one. */
  readonly inviteExpires: string | null;
}

export interface ClientDetails extends ClientSummary {
  readonly keyType: string | null;
  readonly directory: string;
  readonly oldest: SnapshotName | null;
}

/** @throws BytebackError `usage` when it cannot be a client's name. */
export function requireClientName(text: string): ClientName {
  const name = parseClientName(text);
  if (name !== undefined) return name;
  throw new BytebackError('usage', {
    what: `${JSON.stringify(text)} cannot be the name of a client`,
    why: whyNotClientName(text) ?? 'it is malformed',
    fix: 'give a lower-case host name, such as web1 or web1.example.net',
  });
}

/** The fingerprint of a key's blob, as ssh-keygen prints it. */
export function fingerprintOf(blob: string): string {
  return `SHA256:${createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').replace(/=+$/, '')}`;
}

/** Registers a client whose key the admin brings. @throws BytebackError as registerClient does. */
export async function addClient(
  name: ClientName,
  keyFile: string,
  { replace }: { readonly replace: boolean },
  server: Server,
): Promise<ClientSummary> {
  let publicKey: string;
  try {
    publicKey = await readFile(keyFile, 'utf8');
  } catch (error) {
    throw new BytebackError('usage', {
      what: `cannot read the key ${keyFile}`,
      why: reasonOf(error),
      fix: 'give the name of a .pub file',
    });
  }
  await registerClient({ name, publicKey, replace }, server);
  return summarize(name, await readRegistry(server.registryPath), server);
}

/** What an invite is made for. */
export interface InviteOptions {
  /** As the client reaches this server; this machine's name by default. */
  readonly host?: string | undefined;
  /** Where sshd listens; what sshd's configuration says by default. */
  readonly port?: number | undefined;
  readonly expiresInMs: number;
  /** The client exists; whoever redeems the invite takes its place. */
  readonly replace: boolean;
}

export interface Invite {
  readonly client: ClientName;
  /** What to type on the client. It asks for the token, which must never stand on a command line. */
  readonly line: string;
  /** What to paste when it asks: a secret until it was redeemed. */
  readonly token: string;
  readonly expires: string;
}

const minExpiryMs = 60_000;
const maxExpiryMs = 90 * 86_400_000;

/**
 * Makes an invite; one that waits for the same client is void from then on.
 * @throws BytebackError `refused` when the client exists and `replace` is not given, or the other way round.
 */
export async function inviteClient(name: ClientName, options: InviteOptions, server: Server): Promise<Invite> {
  if (options.expiresInMs < minExpiryMs || options.expiresInMs > maxExpiryMs) {
    throw new BytebackError('usage', {
      what: '--expires is out of range',
      why: 'an invite lasts from one minute to 90 days',
    });
  }
  const destination = `${server.config.user}@${hostForm(options.host ?? hostname())}:`;
  const listening = await listeningSshd(server.config.user);
  const { token, publicKey } = makeInvite(name, listening.hostKeyLine);
  const expiresAt = new Date(Math.floor((server.clock.now().getTime() + options.expiresInMs) / 1000) * 1000);
  await withRegistryLock(server.registryPath, server.clock, async () => {
    const registry = withoutExpired(await readRegistry(server.registryPath), server.clock.now());
    await requireExistence(name, options.replace, registry, server);
    const others = withoutEntries(registry, (entry) => entry.role === 'invite' && entry.name === name);
    const entry = { role: 'invite', name, key: publicKey, expiresAt, replace: options.replace } as const;
    await writeRegistry(server.registryPath, withEntry(others, entry));
  });
  const port = options.port ?? listening.port;
  const words = [
    'byteback-setup-client',
    '--destination',
    destination,
    ...(port === 22 ? [] : ['--port', String(port)]),
    '--invite',
  ];
  return { client: name, line: words.join(' '), token, expires: secondsOf(expiresAt) };
}

/** `2026-11-22T02:13:06Z`. */
function secondsOf(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

async function requireExistence(name: ClientName, replace: boolean, registry: Registry, server: Server): Promise<void> {
  const exists = findClient(registry, name) !== undefined || (await hasHistory(server.store, name));
  if (exists === replace) return;
  if (!replace) {
    throw new BytebackError('refused', {
      what: `client ${name} exists already`,
      why: 'whoever redeems the invite would take its place, and get at its files',
      fix: `if that is what you want, add --replace; or invite it by another name`,
    });
  }
  throw new BytebackError('refused', { what: `there is no client ${name} to replace`, fix: 'leave --replace away' });
}

/** A host as it stands in a destination. */
function hostForm(host: string): string {
  if (/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host)) return host;
  if (/^[0-9A-Fa-f]*:[0-9A-Fa-f:.]+$/.test(host)) return `[${host}]`;
  throw new BytebackError('usage', {
    what: `${JSON.stringify(host)} is not a host`,
    fix: 'give a name or an address: --host backup.example.net',
  });
}

/** Where sshd listens, and the host key that the client will see. */
async function listeningSshd(user: string): Promise<{ port: number; hostKeyLine: string }> {
  const settings = await effectiveSettings(user, '127.0.0.1');
  for (const path of settings.get('hostkey') ?? []) {
    const text = await readFile(`${path}.pub`, 'utf8').catch(() => '');
    const key = publicKeyOn(text);
    if (typeof key === 'string' || key.type !== 'ssh-ed25519') continue;
    return { port: Number(settings.get('port')?.[0] ?? '22'), hostKeyLine: `${key.type} ${key.blob}` };
  }
  throw new BytebackError('usage', {
    what: 'cannot make an invite',
    why: 'sshd uses no ed25519 host key, and the invite has to pin one',
    fix: 'make one with: ssh-keygen -A, restart sshd, and try again',
  });
}

async function summarize(name: ClientName, registry: Registry, server: Server): Promise<ClientSummary> {
  const key = findClient(registry, name)?.key;
  const invite = entriesOf(registry).find((entry) => entry.role === 'invite' && entry.name === name);
  const snapshots = (await clientExists(server.store, name)) ? await listSnapshotNames(server.store, name) : [];
  return {
    client: name,
    state: key !== undefined ? 'registered' : invite !== undefined ? 'invited' : 'revoked',
    snapshots: snapshots.length,
    newest: snapshots.at(-1) ?? null,
    fingerprint: key === undefined ? null : fingerprintOf(key.blob),
    inviteExpires: invite?.role === 'invite' ? secondsOf(invite.expiresAt) : null,
  };
}

async function currentRegistry(server: Server): Promise<Registry> {
  return withoutExpired(await readRegistry(server.registryPath), server.clock.now());
}

/** Everybody who has a key, an invite or files here, by name. */
export async function listClients(server: Server): Promise<ClientSummary[]> {
  const registry = await currentRegistry(server);
  const named = entriesOf(registry).flatMap((entry) => (entry.role === 'admin' ? [] : [entry.name]));
  const names = [...new Set([...named, ...(await listClientNames(server.store))])].toSorted();
  return Promise.all(names.map((name) => summarize(name, registry, server)));
}

async function requireKnown(name: ClientName, registry: Registry, server: Server): Promise<void> {
  const listed = entriesOf(registry).some((entry) => entry.role !== 'admin' && entry.name === name);
  if (listed || (await clientExists(server.store, name))) return;
  throw new BytebackError('usage', {
    what: `there is no client ${name}`,
    fix: 'see who there is: byteback client list',
  });
}

/** @throws BytebackError `usage` when nothing is known of this client. */
export async function showClient(name: ClientName, server: Server): Promise<ClientDetails> {
  const registry = await currentRegistry(server);
  await requireKnown(name, registry, server);
  const snapshots = (await clientExists(server.store, name)) ? await listSnapshotNames(server.store, name) : [];
  return {
    ...(await summarize(name, registry, server)),
    keyType: findClient(registry, name)?.key.type ?? null,
    directory: server.store.clientDir(name),
    oldest: snapshots[0] ?? null,
  };
}

/** What a revocation took away. */
export interface Revocation {
  readonly client: ClientName;
  readonly key: boolean;
  readonly invite: boolean;
}

/**
 * Takes a client's key and invite away; its files stay. A session that is open can still send, but not complete.
 * @throws BytebackError `usage` when nothing is known of this client.
 */
export async function revokeClient(name: ClientName, server: Server): Promise<Revocation> {
  return withRegistryLock(server.registryPath, server.clock, async () => {
    const registry = await currentRegistry(server);
    await requireKnown(name, registry, server);
    const its = entriesOf(registry).filter((entry) => entry.role !== 'admin' && entry.name === name);
    const revocation = {
      client: name,
      key: its.some(({ role }) => role === 'client'),
      invite: its.some(({ role }) => role === 'invite'),
    };
    if (its.length > 0)
      await writeRegistry(
        server.registryPath,
        withoutEntries(registry, (entry) => its.includes(entry)),
      );
    return revocation;
  });
}
