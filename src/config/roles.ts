import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { BytebackError } from '../errors.ts';
import type { ClientPaths } from './paths.ts';

/** What this machine is; it can be both. */
export interface Roles {
  readonly server: boolean;
  readonly client: boolean;
}

/**
 * Whether this machine is set up as a server, a client, or both, by the files that set-up leaves. With
 * BYTEBACK_CONFIG_DIR only the client that it names is meant.
 * @throws BytebackError (usage) when it is neither.
 */
export async function findRoles(paths: ClientPaths, serverToml: string): Promise<Roles> {
  const exists = (path: string) =>
    access(path).then(
      () => true,
      // Not there, or not to be seen: the same for whoever asks.
      () => false,
    );
  const isUsualPlace = paths.configDir === '/etc/byteback';
  const [server, toml, original] = await Promise.all([
    isUsualPlace ? exists(serverToml) : false,
    exists(paths.clientToml),
    exists(join(paths.configDir, 'destination')),
  ]);
  if (server || toml || original) return { server, client: toml || original };
  throw new BytebackError('usage', {
    what: isUsualPlace ? 'this machine is set up neither as a client nor as a server' : 'there is no client here',
    why: isUsualPlace
      ? `there is no client.toml and no server.toml in ${paths.configDir}`
      : `there is no ${paths.clientToml}`,
    fix: isUsualPlace
      ? 'run byteback-setup-client --destination byteback@HOST: or byteback-setup-server'
      : 'run: byteback-setup-client --destination byteback@HOST:',
  });
}
