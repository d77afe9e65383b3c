import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BytebackError } from '../../errors.ts';
import { isMissing } from '../../system/files.ts';
import { run } from '../../system/run.ts';
import { SshError, sshFailureKind } from '../../system/ssh.ts';

/** A server's public host key, as it stands in known_hosts after the host. */
export interface HostKey {
  readonly type: string;
  /** Base64. */
  readonly blob: string;
}

/** The form that ssh shows, `SHA256:…`, so that a person can compare the two. */
export function fingerprintOf(key: HostKey): string {
  return `SHA256:${createHash('sha256').update(Buffer.from(key.blob, 'base64')).digest('base64').replace(/=+$/, '')}`;
}

/** "ED25519" of ssh-ed25519, as ssh says it. */
export function kindOf(key: HostKey): string {
  return key.type
    .replace(/^ssh-/, '')
    .replace(/^ecdsa-.*$/, 'ecdsa')
    .toUpperCase();
}

/** `type blob`, with or without what comes after. */
export function parseHostKey(line: string): HostKey | undefined {
  const [type, blob] = line.trim().split(/\s+/);
  return type === undefined || blob === undefined ? undefined : { type, blob };
}

/** The keys that a known_hosts text has for a host by its plain name; ours is never hashed. */
export function pinnedKeys(knownHosts: string, host: string): HostKey[] {
  return knownHosts.split('\n').flatMap((line) => {
    const [names = '', ...rest] = line.trim().split(/\s+/);
    const key = names.split(',').includes(host) ? parseHostKey(rest.join(' ')) : undefined;
    return key === undefined ? [] : [key];
  });
}

/** The text with exactly one key for a host; other hosts' lines and comments stay. */
export function withPinnedKey(knownHosts: string, host: string, key: HostKey): string {
  const others = knownHosts
    .split('\n')
    .filter((line) => line.trim() !== '' && !(line.trim().split(/\s+/)[0] ?? '').split(',').includes(host));
  return `${[...others, `${host} ${key.type} ${key.blob}`].join('\n')}\n`;
}

/**
 * Asks the server for its host key by beginning to log in: unlike ssh-keyscan this goes the whole way that later
 * connections go (ProxyJump, ProxyCommand, addresses), and proves that the server holds the key.
 * @param alias the name under which ssh notes the key (HostKeyAlias).
 * @throws SshError when the server does not answer.
 */
export async function fetchHostKey(
  target: { host: string; configFile: string },
  alias: string,
  directory: string,
): Promise<HostKey> {
  const noted = join(directory, 'seen_hosts');
  const options = [
    `UserKnownHostsFile=${noted}`,
    'StrictHostKeyChecking=accept-new',
    'HashKnownHosts=no',
    'PubkeyAuthentication=no',
    'PreferredAuthentications=none',
    'ControlPath=none',
  ];
  const { stderr } = await run(
    ['ssh', '-F', target.configFile, ...options.flatMap((option) => ['-o', option]), '-T', '--', target.host, 'ping'],
    // To be refused is what this connection is for.
    { accept: [0, 255], timeoutMs: 120_000 },
  );
  const text = await readFile(noted, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return '';
    throw error;
  });
  const key = pinnedKeys(text, alias)[0];
  if (key !== undefined) return key;
  throw new SshError(
    sshFailureKind(stderr) === 'configuration' ? 'configuration' : 'unreachable',
    target.host,
    stderr,
    'check the name and the port, that the server is up, and that sshd answers there',
  );
}

/** What to say when the server shows another key than the pinned one. */
export function hostKeyChanged(host: string, knownHosts: string, pinned: readonly HostKey[]): BytebackError {
  return new BytebackError('refused', {
    what: `the host key of ${host} has changed`,
    why: `it is not the one that was pinned at set-up (${pinned.map((key) => `${kindOf(key)} ${fingerprintOf(key)}`).join(', ')}); either the server was set up anew, or somebody stands between`,
    fix: `compare with what this prints on the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; if it was set up anew, forget the old key: ssh-keygen -R '${host}' -f ${knownHosts}, and run byteback-setup-client again`,
  });
}
