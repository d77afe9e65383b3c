import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { type Destination, sshHost } from '../../protocol/destination.ts';
import { run } from '../../system/run.ts';
import type { Directive, HostBlock } from './ssh-config.ts';

/** What ssh's own configuration, the person's and the machine's, says of a host. */
export interface Route {
  /** What leads to the server and has to stand in byteback's own configuration. */
  readonly directives: readonly Directive[];
  /** The hosts on the way (ProxyJump), which byteback's own configuration must know, too. */
  readonly jumps: readonly HostBlock[];
  /** The keys that the person would log in with; for the first log-in only. */
  readonly identityFiles: readonly string[];
}

/** The values that ssh gives when nobody configured anything, so that they need not be carried over. */
const defaults: Readonly<Record<string, string>> = { port: '22', addressfamily: 'any', proxyusefdpass: 'no' };

/** What is carried over for every host, as `ssh -G` and ssh_config(5) name it. */
const carried: readonly [key: string, name: string][] = [
  ['hostname', 'HostName'],
  ['port', 'Port'],
  ['addressfamily', 'AddressFamily'],
  ['bindaddress', 'BindAddress'],
  ['bindinterface', 'BindInterface'],
  ['proxyjump', 'ProxyJump'],
  ['proxycommand', 'ProxyCommand'],
  ['proxyusefdpass', 'ProxyUseFdpass'],
];

/** More hosts than this on the way to a server is a loop. */
const mostJumps = 8;

/** Asks ssh itself how it would reach the destination: aliases, Include, Match and patterns are all honoured. */
export async function resolveRoute(destination: Destination, port: number | undefined): Promise<Route> {
  const settings = await settingsOf(sshHost(destination), port);
  const jumps: HostBlock[] = [];
  await collectJumps(settings, jumps);
  return { directives: routeOf(settings, destination.host), jumps, identityFiles: identitiesOf(settings) };
}

type Settings = ReadonlyMap<string, readonly string[]>;

async function settingsOf(host: string, port?: number): Promise<Settings> {
  const { stdout } = await run(['ssh', '-G', ...(port === undefined ? [] : ['-p', String(port)]), '--', host]);
  return parseSettings(stdout.toString('utf8'));
}

/** `ssh -G` prints one setting a line, name and value; some names several times. */
export function parseSettings(text: string): Settings {
  const settings = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space < 0) continue;
    const key = line.slice(0, space);
    const values = settings.get(key) ?? [];
    values.push(line.slice(space + 1));
    settings.set(key, values);
  }
  return settings;
}

/** The directives that say how a host is reached, without what ssh does anyway. */
export function routeOf(settings: Settings, host: string): Directive[] {
  const directives: Directive[] = [];
  for (const [key, name] of carried) {
    const value = settings.get(key)?.[0];
    if (value === undefined || value === 'none' || value === defaults[key]) continue;
    if (key === 'hostname' && value.toLowerCase() === host.toLowerCase()) continue;
    directives.push([name, value]);
  }
  return directives;
}

function identitiesOf(settings: Settings): string[] {
  return (settings.get('identityfile') ?? [])
    .map((file) => file.replace(/^~\//, `${homedir()}/`))
    .filter((file) => existsSync(file));
}

async function collectJumps(settings: Settings, jumps: HostBlock[]): Promise<void> {
  for (const hop of jumpHosts(settings.get('proxyjump')?.[0] ?? 'none')) {
    if (jumps.length >= mostJumps || jumps.some(({ host }) => host === hop.host)) continue;
    const hopSettings = await settingsOf(hop.user === undefined ? hop.host : `${hop.user}@${hop.host}`);
    const user = hopSettings.get('user')?.[0];
    const knownHosts = hopSettings.get('userknownhostsfile')?.[0];
    jumps.push({
      host: hop.host,
      directives: [
        ...routeOf(hopSettings, hop.host),
        ...(user === undefined ? [] : [['User', user] as const]),
        ...identitiesOf(hopSettings).map((file) => ['IdentityFile', file] as const),
        ...(knownHosts === undefined ? [] : [['UserKnownHostsFile', knownHosts] as const]),
      ],
    });
    await collectJumps(hopSettings, jumps);
  }
}

/** The hosts of a ProxyJump value: `[user@]host[:port]`, or ssh:// with the same, joined by commas. */
export function jumpHosts(value: string): { user?: string; host: string }[] {
  if (value === 'none') return [];
  return value.split(',').flatMap((hop) => {
    const match = /^(?:ssh:\/\/)?(?:([^@]+)@)?(\[[^\]]+\]|[^:/]+)(?::\d+)?\/?$/.exec(hop.trim());
    if (match === null) return [];
    const [, user, host = ''] = match;
    return [{ ...(user === undefined ? {} : { user }), host: host.replace(/^\[|\]$/g, '') }];
  });
}
