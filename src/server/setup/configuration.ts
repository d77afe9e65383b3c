import { chmod, chown, mkdir, readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { loadPresentServerConfig, type ServerConfig } from '../../config/server-config.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import { type PublicKey, parsePublicKey } from '../../protocol/public-key.ts';
import { findUser } from '../../system/accounts.ts';
import type { Clock } from '../../system/clock.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import {
  emptyRegistry,
  entriesOf,
  findKey,
  type Registry,
  readRegistry,
  withEntry,
  writeRegistry,
} from '../registry.ts';
import { withRegistryLock } from '../registry-lock.ts';
import { createClientDirectories, createStore, openStore } from '../store.ts';
import { entriesOfOriginals, originalsToml, readOriginalKeys } from './original-keys.ts';
import type { Step } from './step.ts';
import { requireTrusted } from './trusted-path.ts';

/** The server's configuration, or undefined where there is none yet. */
export async function existingConfig(): Promise<ServerConfig | undefined> {
  try {
    await readFile(serverPaths.serverToml);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  return loadPresentServerConfig();
}

/** The first `server.toml`: every key with its default, so that a person sees what there is to change. */
export function serverTomlText(store: string, user: string): string {
  return `# The configuration of byteback's server; docs/configuration.md explains every key.
store = ${JSON.stringify(store)}
user = ${JSON.stringify(user)}
# snapshots_per_day = 48      # of one client
# idle_timeout = "10m"        # a session without any progress is ended then

# [prune]
# start = "5%"                # below this much free space the least important snapshots go,
# stop = "10%"                # until this much is free again,
# keep_last = 3               # and never the newest of a client

# [mail]
# admin = "root"              # who hears of what needs a person; try: byteback report --test
# smtp = "smtps://user@mail.example.net:465"     # left out: by this machine's own sendmail
# smtp_password_file = "/etc/byteback/smtp-password"

# [default]                   # holds for every client; [client."web1.example.net"] for one
# keep = "7d 4w 13m"
`;
}

async function isRootsAlone(path: string): Promise<boolean> {
  const { uid, mode } = await stat(path);
  return uid === 0 && (mode & 0o077) === 0;
}

/** `/etc/byteback/server.toml`; one that is there is the admin's, and stays. */
export function configurationStep(store: string, user: string): Step {
  return {
    title: 'settings',
    check: async () => {
      if ((await existingConfig()) === undefined) return `write ${serverPaths.serverToml}`;
      return (await isRootsAlone(serverPaths.serverToml))
        ? undefined
        : `give ${serverPaths.serverToml} to root alone: addresses of pings and web hooks in it are secrets`;
    },
    act: async () => {
      if ((await existingConfig()) !== undefined) {
        await chown(serverPaths.serverToml, 0, 0);
        await chmod(serverPaths.serverToml, 0o600);
        return;
      }
      await mkdir(serverPaths.configDir, { recursive: true, mode: 0o755 });
      await requireTrusted(serverPaths.configDir);
      const text = serverTomlText(store, user) + originalsToml(await readOriginalKeys(store, user));
      await writeFileAtomically(serverPaths.serverToml, text, { mode: 0o600, uid: 0, gid: 0 });
    },
  };
}

/** The directories and the file that make a btrfs a store. */
export function layoutStep(store: string, clock: Clock): Step {
  return {
    title: 'store',
    check: async () => {
      try {
        await openStore({ store });
        return undefined;
      } catch (error) {
        // Not there yet; what is there and damaged is found by createStore.
        if (error instanceof BytebackError && (error.exit === 'usage' || error.exit === 'notBtrfs'))
          return `lay out the store in ${store}`;
        throw error;
      }
    },
    act: async () => {
      await createStore(store, clock.now());
    },
  };
}

/** An administrative key, and what it is called in the registry. */
export interface AdminKey {
  readonly label: string;
  readonly key: PublicKey;
}

/** `Ops Team.pub` → `ops-team`. */
export function labelOf(file: string): string {
  const label = basename(file)
    .replace(/\.pub$/, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replaceAll(/^-+|-+$/g, '');
  return label === '' ? 'admin' : label;
}

/** @throws BytebackError `usage` when it cannot be read, `refused` when it is no public key. */
export async function readAdminKey(file: string): Promise<AdminKey> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new BytebackError('usage', {
      what: `cannot read the key ${file}`,
      why: reasonOf(error),
      fix: 'give the name of a .pub file',
    });
  }
  return { label: labelOf(file), key: parsePublicKey(text) };
}

/** The registry with a key that may register; under another label when its own is taken. */
function withAdmin(registry: Registry, { label, key }: AdminKey): Registry {
  const taken = new Set(entriesOf(registry).flatMap(({ role, name }) => (role === 'admin' ? [name] : [])));
  let name = label;
  for (let number = 2; taken.has(name); number += 1) name = `${label}-${number}`;
  return withEntry(registry, { role: 'admin', name, key });
}

/** What the keys step works on. */
export interface RegistryStepDeps {
  readonly store: string;
  readonly user: string;
  readonly clock: Clock;
  readonly log?: Log;
}

/**
 * `/etc/byteback/authorized_keys`, with the keys that may register clients. Where an original byteback is taken over, the
 * keys of its clients come with it, once: when the registry is made. A client that is revoked later stays so.
 */
export function registryStep(admins: readonly AdminKey[], { store, user, clock, log }: RegistryStepDeps): Step {
  const path = serverPaths.authorizedKeys;
  const read = async (): Promise<Registry | undefined> => {
    try {
      return await readRegistry(path);
    } catch (error) {
      if (error instanceof BytebackError && error.exit === 'usage') return undefined;
      throw error;
    }
  };
  const absent = (registry: Registry) => admins.filter(({ key }) => findKey(registry, key.blob)?.role !== 'admin');
  return {
    title: 'keys',
    check: async () => {
      const registry = await read();
      if (registry === undefined) {
        const { clients } = await readOriginalKeys(store, user);
        return [
          `make ${path}`,
          ...(admins.length > 0 ? [`with administrative keys: ${admins.map(({ label }) => label).join(', ')}`] : []),
          ...(clients.length > 0
            ? [`with the keys of the original's clients: ${clients.map(({ name }) => name).join(', ')}`]
            : []),
        ].join(', ');
      }
      const missing = absent(registry).map(({ label }) => label);
      return missing.length === 0 ? undefined : `add administrative keys to ${path}: ${missing.join(', ')}`;
    },
    act: () =>
      withRegistryLock(path, clock, async () => {
        const registry = (await read()) ?? (await firstRegistry({ store, user, clock, ...(log ? { log } : {}) }));
        await writeRegistry(path, absent(registry).reduce(withAdmin, registry));
      }),
  };
}

/** Empty; or with the clients of the original, which get their places in the store before they get their keys. */
async function firstRegistry({ store, user, log }: RegistryStepDeps): Promise<Registry> {
  const originals = await readOriginalKeys(store, user);
  for (const { line, why } of originals.left)
    log?.warn(`${store}/.ssh/authorized_keys:${line} is not taken over: ${why}`);
  if (originals.clients.length === 0) return emptyRegistry;
  const account = await findUser(user);
  if (account === undefined) throw new Error('the user was made just now');
  const opened = await openStore({ store });
  for (const { name } of originals.clients) await createClientDirectories(opened, name, account);
  return entriesOfOriginals(originals).reduce(withEntry, emptyRegistry);
}
