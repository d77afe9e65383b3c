import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import { PingReplySchema } from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import { selfAttacks, whatItGot } from '../../protocol/self-attacks.ts';
import type { Clock } from '../../system/clock.ts';
import { run } from '../../system/run.ts';
import { attemptSsh } from '../../system/ssh-attempt.ts';
import { effectiveSettings, isSshdRunning, portOfRunningSshd, type SshdSettings } from '../../system/sshd.ts';
import { makeTemporaryDirectory } from '../../system/temporary.ts';

/** A key pair that is made for the proof, in a directory of its own that only root can read. */
export interface ProofKey {
  readonly directory: string;
  readonly privateKeyFile: string;
  /** The line of its `.pub` file. */
  readonly publicKey: string;
}

/** Makes a key for the proof, does something with it, and deletes it. */
export async function withProofKey(action: (key: ProofKey) => Promise<void>): Promise<void> {
  const directory = await makeTemporaryDirectory(tmpdir(), 'byteback-proof-');
  try {
    const privateKeyFile = join(directory, 'key');
    await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'proof', '-f', privateKeyFile]);
    await action({ directory, privateKeyFile, publicKey: await readFile(`${privateKeyFile}.pub`, 'utf8') });
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The address of this machine that sshd listens on. */
function addressOf(settings: SshdSettings): string {
  const [first = '0.0.0.0:22'] = settings.get('listenaddress') ?? [];
  const [, bracketed, plain] = /^(?:\[(.*)\]|([^:]*)):\d+$/.exec(first) ?? [];
  const host = bracketed ?? plain ?? '';
  return ['', '::', '0.0.0.0'].includes(host) ? '127.0.0.1' : host;
}

/** The host keys of this machine under a name of ours, so that no other machine can answer in its place. */
async function knownHosts(settings: SshdSettings, alias: string): Promise<string> {
  const keys = await Promise.all(
    (settings.get('hostkey') ?? []).map((path) => readFile(`${path}.pub`, 'utf8').catch(() => '')),
  );
  return keys
    .filter((key) => key !== '')
    .map((key) => `${alias} ${key.trim()}\n`)
    .join('');
}

const attempts = 25;
const waitMs = 200;

/** sshd that was told a moment ago to read its configuration again does not listen for a moment. */
async function listeningPort(settings: SshdSettings, clock: Clock): Promise<number | undefined> {
  for (let attempt = 1; (await isSshdRunning(settings)) && attempt <= attempts; attempt += 1) {
    const port = await portOfRunningSshd(settings);
    if (port !== undefined) return port;
    await clock.sleep(waitMs);
  }
  return undefined;
}

/**
 * Logs in through the sshd that runs here, as a client does: the key is taken, and gets byteback-receive and no shell.
 * @returns false when no sshd runs here, so that there was nothing to prove.
 * @throws BytebackError with what is wrong.
 */
export async function proveLogin(
  user: string,
  client: ClientName,
  key: ProofKey,
  { clock, attack }: { readonly clock: Clock; readonly attack: boolean },
): Promise<boolean> {
  const settings = await effectiveSettings(user, '127.0.0.1');
  const port = await listeningPort(settings, clock);
  if (port === undefined) return false;
  const host = addressOf(settings);
  const alias = 'byteback-proof';
  const knownHostsFile = join(key.directory, 'known_hosts');
  await writeFile(knownHostsFile, await knownHosts(settings, alias));
  const options = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'StrictHostKeyChecking=yes',
    `HostKeyAlias=${alias}`,
    `UserKnownHostsFile=${knownHostsFile}`,
    'ConnectTimeout=10',
  ];
  const base = [
    ...['-F', 'none', '-T', '-i', key.privateKeyFile, '-p', String(port), '-l', user],
    ...options.flatMap((option) => ['-o', option]),
  ];
  const login = (command: string) => attemptSsh(base, host, { options: [], command });
  const shell = await login('id');
  if (shell.stdout.includes('uid=')) throw failed('a client gets a shell', `it ran id: ${shell.stdout.trim()}`, user);
  const ping = await login('ping');
  const reply = ping.exitCode === 0 ? v.safeParse(PingReplySchema, JSON.parse(ping.stdout)) : undefined;
  if (reply?.success !== true || reply.output.client !== client) {
    const why = ping.stderr.trim() || ping.stdout.trim() || `ssh exited ${ping.exitCode}`;
    throw failed(`a client cannot log in at ${host} port ${port}`, why.slice(0, 500), user);
  }
  for (const attempt of attack ? selfAttacks(port) : []) {
    const got = whatItGot(await attemptSsh(base, host, attempt));
    if (got !== undefined) throw failed(`a client's key gets ${attempt.what}`, got, user);
  }
  return true;
}

function failed(what: string, why: string, user: string): BytebackError {
  return new BytebackError('refused', {
    what: `the proof failed: ${what}`,
    why,
    fix: `look into sshd's log (journalctl -u ssh, or /var/log/auth.log), and at: sshd -T -C user=${user},host=localhost,addr=127.0.0.1`,
  });
}
