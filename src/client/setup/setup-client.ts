import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClientPaths, clientPaths } from '../../config/paths.ts';
import { readIfPresent } from '../../config/toml-file.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import { sshHost } from '../../protocol/destination.ts';
import { PingReplySchema, protocolVersion } from '../../protocol/messages.ts';
import { type ClientName, parseClientName } from '../../protocol/names.ts';
import { writeFileAtomically } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { openSsh, SshError, type SshTarget } from '../../system/ssh.ts';
import { makeTemporaryDirectory } from '../../system/temporary.ts';
import { ask } from '../remote.ts';
import { agreeOnHostKey, withHostKeyExplained } from './agree-on-host-key.ts';
import { fingerprintOf, type HostKey, kindOf, pinnedKeys, withPinnedKey } from './host-key.ts';
import { ensureKey } from './key.ts';
import { type Credential, checkRegisteredName, register } from './registration.ts';
import { look, type SetupClientDeps, type SetupClientOptions, type Situation } from './situation.ts';
import { applyTimer, lookAtScheduling, planTimer } from './timer.ts';

/** What there is now. */
export interface SetupClientResult {
  readonly client: ClientName;
  readonly destination: string;
  /** How this machine came to be known: `already` when it was. */
  readonly registered: 'already' | Credential['kind'];
  readonly serverVersion: string;
  /** The pinned host key. */
  readonly hostKey: string;
  readonly timer: string;
  /** Files that were written. */
  readonly written: readonly string[];
}

/**
 * Makes this machine a client of a server. What can be wrong is looked at first; the machine's own key comes next,
 * because the server will know it by then; the configuration is written once the server has taken the key; the timer
 * comes last, when a ping has shown that all of it works. Run again, it goes over the same steps and changes nothing.
 * @throws BytebackError `usage` for bad input, `unreachable`, or `refused` when the server or its host key says no.
 */
export async function setupClient(options: SetupClientOptions, deps: SetupClientDeps): Promise<SetupClientResult> {
  const temporary = await makeTemporaryDirectory(tmpdir(), 'byteback-setup-');
  try {
    return await setUp(options, deps, temporary);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function setUp(
  options: SetupClientOptions,
  deps: SetupClientDeps,
  temporary: string,
): Promise<SetupClientResult> {
  const { log } = deps;
  const paths = clientPaths(deps.env);
  const ownDirectories = Boolean(deps.env.BYTEBACK_CONFIG_DIR || deps.env.BYTEBACK_STATE_DIR);
  const situation = await look(options, paths, temporary, deps);
  const timerPlan = planTimer(options.timer, await lookAtScheduling(ownDirectories));
  const { destination, name } = situation;

  const hostKey = await agreeOnHostKey(situation, deps);
  await makeDirectories(paths);
  const key = await ensureKey(paths.key, name, log);
  const target = stagedTarget(situation);
  const registered = await registerUnlessKnown(situation, target, key, deps);

  const written = await writeFiles(situation, hostKey, log);
  log.step(`asking ${sshHost(destination)} whether it knows this machine`);
  const reply = await ping({ host: sshHost(destination), configFile: paths.sshConfig }, deps.signal);
  const timer = await applyTimer(timerPlan, { name, paths, ownDirectories, random: deps.random }, log);
  return {
    client: name,
    destination: destination.text,
    registered,
    serverVersion: reply.version,
    hostKey: `${kindOf(hostKey)} ${fingerprintOf(hostKey)}`,
    timer,
    written,
  };
}

/** A connection with what is not written yet. */
function stagedTarget({ destination, temporary }: Situation): SshTarget {
  return {
    host: sshHost(destination),
    configFile: join(temporary, 'ssh_config'),
    options: [`UserKnownHostsFile=${join(temporary, 'known_hosts')}`],
  };
}

async function registerUnlessKnown(
  situation: Situation,
  target: SshTarget,
  key: { readonly publicKey: string; readonly made: boolean },
  deps: SetupClientDeps,
): Promise<SetupClientResult['registered']> {
  const { name, options, invite, identityFiles, temporary, destination, paths } = situation;
  const known = key.made ? undefined : await pingIfKnown(situation, target, deps.signal);
  if (known !== undefined) {
    if (known === name) return 'already';
    throw new BytebackError('usage', {
      what: `this machine's key is registered as ${known}, not as ${name}`,
      why: `one key is one client; the key is ${paths.key}`,
      fix: `run it again with --hostname ${known}; or, for a new client, move the key away first`,
    });
  }
  const credential: Credential =
    options.identity !== undefined
      ? { kind: 'identity', file: options.identity }
      : invite !== undefined
        ? { kind: 'invite', privateKeyFile: invite.privateKeyFile }
        : { kind: 'password', identityFiles };
  deps.log.step(`registering this machine as ${name} at ${sshHost(destination)} ${credentialInWords[credential.kind]}`);
  try {
    const reply = await register({ target, name, publicKey: key.publicKey, credential, temporaryDirectory: temporary });
    checkRegisteredName(reply, name);
  } catch (error) {
    throw await withHostKeyExplained(error, situation);
  }
  return credential.kind;
}

const credentialInWords: Readonly<Record<Credential['kind'], string>> = {
  identity: 'with the administrative key',
  invite: 'with the invite',
  password: 'with your key or password',
};

/** Who the server takes our key for; undefined when it does not know it. */
async function pingIfKnown(
  situation: Situation,
  target: SshTarget,
  signal?: AbortSignal,
): Promise<ClientName | undefined> {
  try {
    return parseClientName((await ping(target, signal)).client ?? '');
  } catch (error) {
    if (error instanceof SshError && error.kind === 'permission') return undefined;
    throw await withHostKeyExplained(error, situation);
  }
}

async function ping(
  target: SshTarget,
  signal?: AbortSignal,
): Promise<{ version: string; client?: ClientName | undefined }> {
  const connection = await openSsh(target, signal === undefined ? {} : { signal });
  try {
    const reply = await ask(connection, 'ping', undefined, PingReplySchema, { timeoutMs: 60_000 });
    if (reply.protocol !== protocolVersion) {
      throw new BytebackError('refused', {
        what: `${target.host} speaks another version of byteback's protocol`,
        why: `it speaks ${reply.protocol} (byteback ${reply.version}), this machine ${protocolVersion}`,
        fix: 'install the same version of byteback on both',
      });
    }
    return reply;
  } finally {
    await connection.close();
  }
}

async function makeDirectories(paths: ClientPaths): Promise<void> {
  for (const path of [paths.configDir, paths.stateDir]) {
    try {
      // /etc/byteback of a machine that is a server, too, is for sshd to read: an existing mode stays.
      await mkdir(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new BytebackError('usage', {
        what: `cannot make ${path}`,
        why: reasonOf(error),
        fix: 'run it as root; or set BYTEBACK_CONFIG_DIR and BYTEBACK_STATE_DIR to directories of your own',
      });
    }
  }
}

/** Writes what differs from what is there; says each file. */
async function writeFiles(situation: Situation, hostKey: HostKey, log: Log): Promise<string[]> {
  const { paths, destination, sshConfig, clientToml } = situation;
  const written: string[] = [];
  const write = async (path: string, content: string, mode: number, why: string) => {
    log.step(`writing ${path}: ${why}`);
    await writeFileAtomically(path, content, { mode });
    written.push(path);
  };
  const knownHosts = (await readIfPresent(paths.knownHosts)) ?? '';
  if (!pinnedKeys(knownHosts, destination.host).some(({ blob }) => blob === hostKey.blob)) {
    await write(paths.knownHosts, withPinnedKey(knownHosts, destination.host, hostKey), 0o644, 'the pinned host key');
  }
  if (sshConfig.changed) {
    await write(paths.sshConfig, sshConfig.text, 0o644, sshConfig.changes.join(', ') || 'how ssh reaches the server');
  }
  if (clientToml.changed) await write(paths.clientToml, clientToml.text, 0o600, `the destination ${destination.text}`);
  // The addresses of pings and web hooks in it are secrets; earlier versions let everybody read it.
  else if (((await stat(paths.clientToml)).mode & 0o077) !== 0) await chmod(paths.clientToml, 0o600);
  return written;
}
