import { join } from 'node:path';

/** Where the server's files lie. Fixed and root's: sshd, sudo and the timers know them by these names. */
export const serverPaths = {
  configDir: '/etc/byteback',
  serverToml: '/etc/byteback/server.toml',
  /** What the receiving user may know of server.toml; written by root's helper whenever that file is another one. */
  receiveSettings: '/run/byteback/receive.json',
  /** The last server.toml that could be read, root's: it holds while a newer one has an error in it. */
  lastGoodToml: '/var/lib/byteback-server/server.toml',
  authorizedKeys: '/etc/byteback/authorized_keys',
  /** prepare.d and complete.d; before.d and after.d beside them are the client's, where one machine is both. */
  hooksDir: '/etc/byteback/hooks',
  libDir: '/usr/lib/byteback',
  sudoersFile: '/etc/sudoers.d/byteback',
  sshdDropIn: '/etc/ssh/sshd_config.d/byteback.conf',
  /** Mails and calls that wait; not in the store, so that they also go when the store is away or full. */
  spool: '/var/spool/byteback',
} as const;

/** Where one client's files lie. */
export interface ClientPaths {
  readonly configDir: string;
  readonly stateDir: string;
  readonly clientToml: string;
  /** The private key; the public one is beside it with `.pub`. */
  readonly key: string;
  readonly knownHosts: string;
  /** Generated; every ssh and rsync call uses it. */
  readonly sshConfig: string;
  readonly hooksDir: string;
  /** One run at a time: locked with flock(2) for as long as a run lasts. */
  readonly lock: string;
  /** The record of the last run, for `byteback status`. */
  readonly lastRun: string;
  /** Made once for machines that have no machine id of their own. */
  readonly machineIdFile: string;
}

/** Where the client's files lie; BYTEBACK_CONFIG_DIR and BYTEBACK_STATE_DIR let one machine act as several clients. */
export function clientPaths(env: Readonly<Record<string, string | undefined>> = process.env): ClientPaths {
  const configDir = env.BYTEBACK_CONFIG_DIR || '/etc/byteback';
  const stateDir = env.BYTEBACK_STATE_DIR || '/var/lib/byteback';
  return {
    configDir,
    stateDir,
    clientToml: join(configDir, 'client.toml'),
    key: join(configDir, 'key'),
    knownHosts: join(configDir, 'known_hosts'),
    sshConfig: join(configDir, 'ssh_config'),
    hooksDir: join(configDir, 'hooks'),
    lock: join(stateDir, 'lock'),
    lastRun: join(stateDir, 'last-run.json'),
    machineIdFile: join(stateDir, 'machine-id'),
  };
}
