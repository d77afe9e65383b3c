import { stat, writeFile } from 'node:fs/promises';
import { hostname as machineName } from 'node:os';
import { join } from 'node:path';
import { loadClientConfig } from '../../config/client-config.ts';
import type { ClientPaths } from '../../config/paths.ts';
import { readIfPresent } from '../../config/toml-file.ts';
import { cleanPath } from '../../config/values.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import { type Destination, parseDestination } from '../../protocol/destination.ts';
import { type OpenedInvite, openInvite } from '../../protocol/invite.ts';
import type { ClientName } from '../../protocol/names.ts';
import type { Log } from '../../system/log.ts';
import { run } from '../../system/run.ts';
import { chooseClientName } from './client-name.ts';
import { changedClientToml, newClientToml } from './client-toml.ts';
import { isPlainPath, mergeSshConfig, serverBlock } from './ssh-config.ts';
import { resolveRoute } from './ssh-route.ts';
import type { TimerChoice } from './timer.ts';

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

/** Everything that one call of set-up knows, found out before anything is changed. */
export interface Situation {
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

/** Looks at everything that can be wrong with the input and with what lies here; changes nothing. */
export async function look(
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
  const existing = await readIfPresent(paths.sshConfig);
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
  const text = await readIfPresent(paths.clientToml);
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
