import { join } from 'node:path';
import type * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import { protocolVersion, type RegisterReply, RegisterReplySchema } from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import { writeFileAtomically } from '../../system/files.ts';
import { run } from '../../system/run.ts';
import { isLost, SshError, type SshTarget, sshFailureKind } from '../../system/ssh.ts';
import { parseReply } from '../remote.ts';

/** How this machine proves that it may register. */
export type Credential =
  /** An administrative key. */
  | { readonly kind: 'identity'; readonly file: string }
  /** The one-time key of an invite. */
  | { readonly kind: 'invite'; readonly privateKeyFile: string }
  /** The keys that the person has anyway, then the password of the user on the server. */
  | { readonly kind: 'password'; readonly identityFiles: readonly string[] };

/** What registering needs. */
export interface Registration {
  /** Its options hold what pins the host key. */
  readonly target: SshTarget;
  readonly name: ClientName;
  /** One line, as in the `.pub` file. */
  readonly publicKey: string;
  readonly credential: Credential;
  /** Private; the invite's key lies there for as long as ssh needs it. */
  readonly temporaryDirectory: string;
}

/** A person types a password in this time, or gives up. */
const typingTimeMs = 300_000;

/**
 * Registers this machine's key with the server.
 * @throws ServerFailure when the server refuses, SshError when it cannot be reached or takes neither key nor password.
 */
export async function register(registration: Registration): Promise<RegisterReply> {
  const { credential, name, publicKey } = registration;
  const request = { protocol: protocolVersion, name, publicKey };
  switch (credential.kind) {
    case 'identity':
      return call(registration, 'register', request, keyOptions([credential.file]), identityRefused(credential.file));
    case 'invite': {
      const file = join(registration.temporaryDirectory, 'invite');
      await writeFileAtomically(file, credential.privateKeyFile, { mode: 0o600 });
      return call(registration, 'redeem', { protocol: protocolVersion, publicKey }, keyOptions([file]), inviteRefused);
    }
    case 'password': {
      if (credential.identityFiles.length > 0) {
        const byKey = await callByOwnKeys(registration, request, credential.identityFiles);
        if (byKey !== undefined) return byKey;
      }
      return call(registration, 'register', request, passwordOptions, passwordRefused);
    }
  }
}

/** Only these keys; a passphrase is asked for on the terminal. */
function keyOptions(files: readonly string[]): string[] {
  return [
    ...files.flatMap((file) => ['-i', file]),
    ...['BatchMode=no', 'PreferredAuthentications=publickey', 'IdentityAgent=SSH_AUTH_SOCK'].flatMap((o) => ['-o', o]),
  ];
}

const passwordOptions = [
  'BatchMode=no',
  'PubkeyAuthentication=no',
  'PreferredAuthentications=keyboard-interactive,password',
  'NumberOfPasswordPrompts=3',
].flatMap((option) => ['-o', option]);

/** Undefined when the server takes none of them: then it is the password's turn. */
async function callByOwnKeys(
  registration: Registration,
  request: unknown,
  files: readonly string[],
): Promise<RegisterReply | undefined> {
  try {
    return await call(
      registration,
      'register',
      request,
      [...keyOptions(files), '-o', 'BatchMode=yes'],
      passwordRefused,
    );
  } catch (error) {
    if (error instanceof SshError && error.kind === 'permission') return undefined;
    throw error;
  }
}

async function call(
  { target }: Registration,
  verb: 'register' | 'redeem',
  request: unknown,
  options: readonly string[],
  refusedFix: string,
): Promise<v.InferOutput<typeof RegisterReplySchema>> {
  const common = [...(target.options ?? []), 'ControlPath=none', 'ClearAllForwardings=yes'];
  const result = await run(
    // Not detached: ssh asks for the password on our terminal.
    [
      'ssh',
      '-F',
      target.configFile,
      ...options,
      ...common.flatMap((option) => ['-o', option]),
      '-T',
      '--',
      target.host,
      verb,
    ],
    {
      input: JSON.stringify(request),
      timeoutMs: typingTimeMs,
      accept: Array.from({ length: 256 }, (_, code) => code),
    },
  );
  if (isLost(result.exitCode)) {
    const kind = sshFailureKind(result.stderr);
    throw new SshError(
      kind,
      target.host,
      result.stderr,
      kind === 'permission' ? refusedFix : `try by hand: ssh ${target.host}`,
    );
  }
  return parseReply(target.host, verb, result, RegisterReplySchema);
}

function identityRefused(file: string): string {
  return `the server does not take ${file} as an administrative key: add it there with byteback-setup-server --admin-key, or ask for an invite: byteback client invite NAME`;
}
const inviteRefused =
  'an invite works once and expires. If nobody of yours used this one, another machine may have redeemed it: on the server, run: byteback client revoke NAME, and look at: byteback events; then: byteback client invite NAME';
const passwordRefused =
  'give an administrative key with --identity FILE, or an invite, made on the server with: byteback client invite NAME; on a server that is not set up yet, run there first: byteback-setup-server';

/** What the server calls us must be what was asked for: anything else is another machine's registration. */
export function checkRegisteredName(reply: RegisterReply, name: ClientName): void {
  if (reply.client === name) return;
  throw new BytebackError('refused', {
    what: `the server registered this machine as ${reply.client}, not as ${name}`,
    why: 'the invite was made for another name',
    fix: `run it again with --hostname ${reply.client}, or ask for an invite for ${name}`,
  });
}
