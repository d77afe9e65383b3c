import { lstat, readdir } from 'node:fs/promises';
import { BytebackError } from '../errors.ts';
import type { RegisterReply } from '../protocol/messages.ts';
import type { ClientName } from '../protocol/names.ts';
import { type PublicKey, parsePublicKey } from '../protocol/public-key.ts';
import type { Clock } from '../system/clock.ts';
import { isMissing } from '../system/files.ts';
import {
  entriesOf,
  findClient,
  findKey,
  type InviteEntry,
  type Registry,
  readRegistry,
  withEntry,
  withoutEntries,
  withoutExpired,
  withRedeemed,
  writeRegistry,
} from './registry.ts';
import { withRegistryLock } from './registry-lock.ts';
import { type Account, clientExists, createClientDirectories, type Store } from './store.ts';

/** What registering works on. */
export interface RegisterDeps {
  readonly store: Store;
  /** `/etc/byteback/authorized_keys`. */
  readonly registryPath: string;
  /** Whose `fs/` is. */
  readonly account: Account;
  readonly clock: Clock;
  /** Forgets the machine that a client's name is bound to, so that the next run binds it anew. */
  readonly forgetMachine: (store: Store, client: ClientName) => Promise<void>;
}

/** Who wants to be registered. */
export interface Registration {
  readonly name: ClientName;
  /** One line of a `.pub` file. */
  readonly publicKey: string;
  /** The admin said that a client of this name, if there is one, gets this key instead of its own. */
  readonly replace?: boolean;
}

function refusedExisting(name: ClientName, why: string): BytebackError {
  return new BytebackError('refused', {
    what: `client ${name} exists already`,
    why,
    fix: `choose another name, or let the admin run on the server: byteback client invite ${name} --replace`,
  });
}

/**
 * True when a client's place in the store holds something that a new client of this name must not get at: a snapshot,
 * the record of a run, or files. A place that was made just before a crash holds none of them.
 */
export async function hasHistory(store: Store, client: ClientName): Promise<boolean> {
  if (!(await clientExists(store, client))) return false;
  const holdsNames = async (path: string): Promise<boolean> => {
    try {
      return (await readdir(path)).length > 0;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  };
  const runFile = await lstat(store.runFile(client)).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  return (
    runFile !== undefined || (await holdsNames(store.snapshotsDir(client))) || (await holdsNames(store.fsDir(client)))
  );
}

/** Makes the client's place, then gives it its key in one rename: a crash leaves a client without a key, which a repeat completes. */
async function settle(
  registry: Registry,
  name: ClientName,
  key: PublicKey,
  replace: boolean,
  deps: RegisterDeps,
): Promise<void> {
  // Computed before anything is made: it throws when the key belongs to somebody, an invite of this client included.
  const withoutOld = withoutEntries(registry, (entry) => entry.role === 'client' && entry.name === name);
  const withNew = withEntry(withoutOld, { role: 'client', name, key });
  const changed = withoutEntries(withNew, (entry) => entry.role === 'invite' && entry.name === name);
  await createClientDirectories(deps.store, name, deps.account);
  if (replace) await deps.forgetMachine(deps.store, name);
  await writeRegistry(deps.registryPath, changed);
}

/**
 * Registers a new client. Repeated with the same name and key it changes nothing and succeeds.
 * @throws BytebackError `refused`, and nothing is made, when the key is bad or somebody's, or the name is taken.
 */
export async function registerClient(registration: Registration, deps: RegisterDeps): Promise<RegisterReply> {
  const { name, replace = false } = registration;
  const key = parsePublicKey(registration.publicKey);
  return withRegistryLock(deps.registryPath, deps.clock, async () => {
    const registry = withoutExpired(await readRegistry(deps.registryPath), deps.clock.now());
    const existing = findClient(registry, name);
    if (existing?.key.blob === key.blob) {
      await createClientDirectories(deps.store, name, deps.account);
      return { ok: true, client: name };
    }
    if (!replace && existing !== undefined)
      throw refusedExisting(name, 'it has another key, and nobody takes over a client');
    if (!replace && (await hasHistory(deps.store, name)))
      throw refusedExisting(name, 'the store holds files of a client of this name');
    await settle(registry, name, key, replace, deps);
    return { ok: true, client: name };
  });
}

function findInvite(registry: Registry, blob: string, now: Date): InviteEntry {
  const entry = findKey(registry, blob);
  const why =
    entry?.role !== 'invite'
      ? 'it is unknown, or was used already'
      : entry.expiresAt.getTime() <= now.getTime()
        ? `it expired at ${entry.expiresAt.toISOString()}`
        : undefined;
  if (entry?.role === 'invite' && why === undefined) return entry;
  throw new BytebackError('refused', {
    what: 'the invite is refused',
    ...(why === undefined ? {} : { why }),
    fix: 'ask the admin of the server for a new one: byteback client invite NAME',
  });
}

/** A client that comes with an invite. */
export interface Redemption {
  /** The one-time key that the client logged in with. */
  readonly inviteBlob: string;
  /** One line of a `.pub` file: the key that it will use from now on. */
  readonly publicKey: string;
}

/**
 * Turns an invite into a client: the invite's line opens nothing any more and the client's comes, in one rename.
 * @throws BytebackError `refused`, and nothing is made, when the invite is unknown, used or expired, the key is bad or
 * somebody's, or the client exists and the invite does not say that it replaces it.
 */
export async function redeemInvite({ inviteBlob, publicKey }: Redemption, deps: RegisterDeps): Promise<RegisterReply> {
  const key = parsePublicKey(publicKey);
  return withRegistryLock(deps.registryPath, deps.clock, async () => {
    const now = deps.clock.now();
    const registry = await readRegistry(deps.registryPath);
    const { name, replace } = findInvite(registry, inviteBlob, now);
    if (!replace && entriesOf(registry).some((entry) => entry.role === 'client' && entry.name === name)) {
      throw refusedExisting(name, 'it was registered since this invite was made');
    }
    if (!replace && (await hasHistory(deps.store, name)))
      throw refusedExisting(name, 'the store holds files of a client of this name');
    await settle(withRedeemed(withoutExpired(registry, now), inviteBlob, now), name, key, replace, deps);
    return { ok: true, client: name };
  });
}
