import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfPresent } from '../../config/toml-file.ts';
import { BytebackError } from '../../errors.ts';
import { sshHost } from '../../protocol/destination.ts';
import { SshError } from '../../system/ssh.ts';
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
import type { SetupClientDeps, Situation } from './situation.ts';

/** The host key that this machine will insist on: the invite's, the one that is pinned, or one that a person confirms. */
export async function agreeOnHostKey(situation: Situation, deps: SetupClientDeps): Promise<HostKey> {
  const { destination, paths, invite, temporary, options } = situation;
  const { host } = destination;
  const pinned = pinnedKeys((await readIfPresent(paths.knownHosts)) ?? '', host);
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

/** The error as it is, or, when it is about the host key, one that says what changed and what to do. */
export async function withHostKeyExplained(error: unknown, { destination, paths }: Situation): Promise<unknown> {
  if (!(error instanceof SshError) || (error.kind !== 'hostKeyChanged' && error.kind !== 'hostKeyUnknown'))
    return error;
  const pinned = pinnedKeys((await readIfPresent(paths.knownHosts)) ?? '', destination.host);
  return hostKeyChanged(destination.host, paths.knownHosts, pinned);
}
