import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname as machineName, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadClientConfig } from '../../config/client-config.ts';
import { type ClientPaths, clientPaths } from '../../config/paths.ts';
import { cleanPath } from '../../config/values.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import { type Destination, parseDestination, sshHost } from '../../protocol/destination.ts';
import { type OpenedInvite, openInvite } from '../../protocol/invite.ts';
import { PingReplySchema, protocolVersion } from '../../protocol/messages.ts';
import { type ClientName, parseClientName } from '../../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { run } from '../../system/run.ts';
import { openSsh, SshError, type SshTarget } from '../../system/ssh.ts';
import { ask } from '../remote.ts';
import { chooseClientName } from './client-name.ts';
import { changedClientToml, newClientToml } from './client-toml.ts';
import {
  fetchHostKey,
  fingerprintOf,
  type HostKey,
  hostKeyChanged,
  kindOf,
  parseHostKey,
  pinnedKeys,
  withPinnedKey,
} from './host-key.ts';
import { ensureKey } from './key.ts';
import { type Credential, checkRegisteredName, register } from './registration.ts';
import { isPlainPath, mergeSshConfig, serverBlock } from './ssh-config.ts';
import { resolveRoute } from './ssh-route.ts';
import { applyTimer, lookAtScheduling, planTimer, type TimerChoice } from './timer.ts';

/** What a person may say to set-up. */
export interface SetupClientOptions {
  /** `user@host:`. */
  readonly destination: string;
  /** The client's name; the machine's own by default. */
  readonly hostname?: string;
  readonly port?: number;
  /** An administrative key's file. */
  readonly identity?: string;
  /** What `byteback client invite` printed. */
  readonly invite?: string;
  /** Takes a host key that is not known yet without asking; never one that changed. */
  readonly acceptNew: boolean;
  readonly timer: TimerChoice;
  /** Written to client.toml; nothing there means everything. */
  readonly source?: readonly string[];
  /** Answers yes to the question whether an existing destination may be changed. */
  readonly yes?: boolean;
}

export interface SetupClientDeps {
  readonly log: Log;
  readonly confirm: (question: string) => Promise<boolean>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A whole number from 0 to below the one given. */
  readonly random: (below: number) => number;
  readonly signal?: AbortSignal;
}

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

/** Everything that one call of set-up knows, found out before anything is changed. */
interface Situation {
  readonly options: SetupClientOptions;
  readonly destination: Destination;
  readonly paths: ClientPaths;
  readonly name: ClientName;
  readonly invite: OpenedInvite | undefined;
  readonly sshConfig: { readonly text: string; readonly changed: boolean; readonly changes: readonly string[] };
  readonly clientToml: { readonly text: string; readonly changed: boolean };
  readonly identityFiles: readonly string[];
  /** Private, gone at the end: what is not yet proven lies here. */
  readonly temporary: string;
}

/**
 * Makes this machine a client of a server. What can be wrong is looked at first; the machine's own key comes next,
 * because the server will know it by then; the configuration is written once the server has taken the key; the timer
 * comes last, when a ping has shown that all of it works. Run again, it goes over the same steps and changes nothing.
 * @throws BytebackError `usage` for bad input, `unreachable`, or `refused` when the server or its host key says no.
 */
export async function setupClient(options: SetupClientOptions, deps: SetupClientDeps): Promise<SetupClientResult> {
  const temporary = await mkdtemp(join(tmpdir(), 'byteback-setup-'));
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

/** Looks at everything that can be wrong with the input and with what lies here; changes nothing. */
async function look(
  options: SetupClientOptions,
  paths: ClientPaths,
  temporary: string,
  deps: SetupClientDeps,
): Promise<Situation> {
  const { log } = deps;
  const destination = parseDestination(options.destination);
  if (destination.path !== '') {
    throw new BytebackError('usage', {
      what: `the destination has a path: ${destination.path}`,
      why: 'a byteback server keeps what clients send in its own store and nowhere else',
      fix: `leave it away: --destination ${destination.text.slice(0, -destination.path.length)}`,
    });
  }
  for (const path of [paths.configDir, paths.stateDir]) {
    if (isPlainPath(path)) continue;
    throw new BytebackError('usage', {
      what: `${JSON.stringify(path)} cannot be one of byteback's directories`,
      why: 'it goes into configurations of ssh and cron, and must be absolute, without spaces and quotes',
    });
  }
  const invite = options.invite === undefined ? undefined : openInvite(options.invite);
  const chosen = chooseClientName(options.hostname ?? invite?.name, machineName());
  if (chosen.mapped) log.warn(`this client is called ${chosen.name}: ${chosen.from} is no lower-case DNS name`);
  if (invite !== undefined && invite.name !== chosen.name) {
    throw new BytebackError('usage', {
      what: `the invite is for ${invite.name}, not for ${chosen.name}`,
      fix: `leave --hostname away, or ask for another: byteback client invite ${chosen.name}`,
    });
  }
  if (options.identity !== undefined) await checkIdentity(options.identity);
  const source = options.source?.map((path) => checkedSource(path));
  await checkPrograms();
  const clientToml = await plannedClientToml(destination, source, paths, deps, options.yes ?? false);
  const route = await resolveRoute(destination, options.port);
  const port = options.port === undefined ? [] : [['Port', String(options.port)] as const];
  const directives = [...route.directives.filter(([key]) => key !== 'Port' || port.length === 0), ...port];
  const existing = await readIfThere(paths.sshConfig);
  const merged = mergeSshConfig(
    existing,
    [...route.jumps, serverBlock(destination, directives, paths)],
    port.map(([key]) => key),
  );
  await writeFile(join(temporary, 'ssh_config'), merged.text, { mode: 0o600 });
  return {
    options,
    destination,
    paths,
    name: chosen.name,
    invite,
    sshConfig: { text: merged.text, changed: merged.text !== existing, changes: merged.changes },
    clientToml,
    identityFiles: route.identityFiles,
    temporary,
  };
}

async function checkIdentity(file: string): Promise<void> {
  const problem = await stat(file).then(
    (found) => (found.isFile() ? undefined : 'it is no file'),
    (error: unknown) => reasonOf(error),
  );
  if (problem === undefined) return;
  throw new BytebackError('usage', {
    what: `cannot use the key ${file}`,
    why: problem,
    fix: 'give --identity the private key whose public half the server knows as an administrative key',
  });
}

function checkedSource(path: string): string {
  const clean = cleanPath(path);
  if (clean !== undefined && !/\p{Cc}/u.test(clean)) return clean;
  throw new BytebackError('usage', {
    what: `not a source: ${JSON.stringify(path)}`,
    why: 'a source is an absolute path without "." and ".."',
  });
}

async function checkPrograms(): Promise<void> {
  const missing: string[] = [];
  for (const [program, argument, debianPackage] of [
    ['ssh', '-V', 'openssh-client'],
    ['ssh-keygen', '-?', 'openssh-client'],
    ['rsync', '--version', 'rsync'],
  ] as const) {
    try {
      await run([program, argument], { accept: [0, 1] });
    } catch {
      // Whatever keeps a program from showing its version keeps byteback from using it.
      missing.push(debianPackage);
    }
  }
  if (missing.length === 0) return;
  const packages = [...new Set(missing)].join(' ');
  throw new BytebackError('usage', {
    what: `programs are missing that byteback needs: ${packages}`,
    fix: `install them, on Debian and Ubuntu with: apt install ${packages}`,
  });
}

/** client.toml as it will be: made when missing, otherwise touched only where this call says something else. */
async function plannedClientToml(
  destination: Destination,
  source: readonly string[] | undefined,
  paths: ClientPaths,
  deps: SetupClientDeps,
  yes: boolean,
): Promise<{ text: string; changed: boolean }> {
  const text = await readIfThere(paths.clientToml);
  if (text === undefined) return { text: newClientToml(destination.text, source ?? []), changed: true };
  const config = await loadClientConfig(paths);
  const otherDestination = config.destination !== destination.text;
  const otherSource = source !== undefined && JSON.stringify(source) !== JSON.stringify(config.source);
  if (!otherDestination && !otherSource) return { text, changed: false };
  if (otherDestination) {
    const question = `${paths.clientToml} says ${config.destination}. Send to ${destination.text} from now on?`;
    if (yes) deps.log.warn(`the destination changes from ${config.destination} to ${destination.text}`);
    else if (!(await deps.confirm(question))) {
      throw new BytebackError('usage', { what: 'the destination was not changed', why: 'the answer was no' });
    }
  }
  const changed = changedClientToml(text, {
    ...(otherDestination ? { destination: destination.text } : {}),
    ...(otherSource ? { source } : {}),
  });
  return { text: changed, changed: true };
}

/** The host key that this machine will insist on: the invite's, the one that is pinned, or one that a person confirms. */
async function agreeOnHostKey(situation: Situation, deps: SetupClientDeps): Promise<HostKey> {
  const { destination, paths, invite, temporary, options } = situation;
  const { host } = destination;
  const pinned = pinnedKeys((await readIfThere(paths.knownHosts)) ?? '', host);
  const invited = invite === undefined ? undefined : parseHostKey(invite.hostKeyLine);
  let key = invited ?? pinned[0];
  if (key === undefined) {
    deps.log.step(`asking ${host} for its host key`);
    key = await fetchHostKey(
      { host: sshHost(destination), configFile: join(temporary, 'ssh_config') },
      host,
      temporary,
    );
    await confirmHostKey(host, key, options.acceptNew, deps);
  } else if (invited !== undefined && pinned.length > 0 && !pinned.some(({ blob }) => blob === invited.blob)) {
    deps.log.warn(`the host key of ${host} becomes the invite's, ${fingerprintOf(invited)}`);
  }
  await writeFile(join(temporary, 'known_hosts'), withPinnedKey('', host, key), { mode: 0o600 });
  return key;
}

async function confirmHostKey(host: string, key: HostKey, acceptNew: boolean, deps: SetupClientDeps): Promise<void> {
  const shown = `${kindOf(key)} ${fingerprintOf(key)}`;
  if (acceptNew) {
    deps.log.step(`pinning the host key of ${host}: ${shown}`);
    return;
  }
  deps.log.step(
    `${host} shows the host key ${shown}; on the server, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows it, too`,
  );
  const fix = 'give --accept-new to take it unseen, or use an invite, which has the host key in it';
  let answer: boolean;
  try {
    answer = await deps.confirm(`Is ${fingerprintOf(key)} the host key of ${host}?`);
  } catch (error) {
    if (!(error instanceof BytebackError) || error.exit !== 'usage') throw error;
    throw new BytebackError('usage', {
      what: `the host key of ${host} is not known yet: ${shown}`,
      why: 'there is nobody to ask',
      fix,
    });
  }
  if (!answer) {
    throw new BytebackError('refused', {
      what: `the host key of ${host} was not accepted`,
      why: 'the answer was no',
      fix,
    });
  }
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

async function withHostKeyExplained(error: unknown, { destination, paths }: Situation): Promise<unknown> {
  if (!(error instanceof SshError) || (error.kind !== 'hostKeyChanged' && error.kind !== 'hostKeyUnknown'))
    return error;
  const pinned = pinnedKeys((await readIfThere(paths.knownHosts)) ?? '', destination.host);
  return hostKeyChanged(destination.host, paths.knownHosts, pinned);
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
  const knownHosts = (await readIfThere(paths.knownHosts)) ?? '';
  if (!pinnedKeys(knownHosts, destination.host).some(({ blob }) => blob === hostKey.blob)) {
    await write(paths.knownHosts, withPinnedKey(knownHosts, destination.host, hostKey), 0o644, 'the pinned host key');
  }
  if (sshConfig.changed) {
    await write(paths.sshConfig, sshConfig.text, 0o644, sshConfig.changes.join(', ') || 'how ssh reaches the server');
  }
  if (clientToml.changed) await write(paths.clientToml, clientToml.text, 0o644, `the destination ${destination.text}`);
  return written;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new BytebackError('usage', { what: `cannot read ${path}`, why: reasonOf(error), fix: 'run it as root' });
  }
}
