import { serverPaths } from '../config/paths.ts';
import { loadServerConfig, type ServerConfig } from '../config/server-config.ts';
import { BytebackError } from '../errors.ts';
import { findUser } from '../system/accounts.ts';
import { type Clock, systemClock } from '../system/clock.ts';
import { forgetMachine } from './forget-machine.ts';
import type { RegisterDeps } from './register.ts';
import { openStore } from './store.ts';

/** This machine as a server: what everything that administers clients works on. */
export interface Server extends RegisterDeps {
  readonly config: ServerConfig;
}

/** @throws BytebackError when this machine is no server, its store is not there, or the caller is not root. */
export async function openServer(clock: Clock = systemClock): Promise<Server> {
  if (process.getuid?.() !== 0) {
    throw new BytebackError('usage', {
      what: 'only root administers the clients of a server',
      fix: 'run it with sudo',
    });
  }
  const config = await loadServerConfig();
  const account = await findUser(config.user);
  if (account === undefined) {
    throw new BytebackError('usage', {
      what: `the user ${config.user} does not exist`,
      fix: 'run: byteback-setup-server',
    });
  }
  return {
    config,
    store: await openStore(config),
    registryPath: serverPaths.authorizedKeys,
    account,
    clock,
    forgetMachine,
  };
}
