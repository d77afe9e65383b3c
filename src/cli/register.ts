import * as v from 'valibot';
import { serverPaths } from '../config/paths.ts';
import { loadServerConfig } from '../config/server-config.ts';
import { BytebackError, exitCodes } from '../errors.ts';
import { type RegisterReply, RegisterRequestSchema } from '../protocol/messages.ts';
import { forgetMachine } from '../server/forget-machine.ts';
import { failureOf, readRequest } from '../server/helper-request.ts';
import { redeemInvite, registerClient } from '../server/register.ts';
import { openStore } from '../server/store.ts';
import { findUser } from '../system/accounts.ts';
import { systemClock } from '../system/clock.ts';
import { logSecurityEvent } from '../system/system-log.ts';

/**
 * `byteback-register`: the root helper that changes who may log in. sudo starts it for the user byteback, without
 * arguments; one JSON request comes in on standard input, one JSON reply goes out. Whoever calls may be an attacker
 * who has taken over that user: nothing but these two verbs can be asked for.
 */
const RequestSchema = v.variant('verb', [
  v.strictObject({
    verb: v.literal('register'),
    name: RegisterRequestSchema.entries.name,
    publicKey: RegisterRequestSchema.entries.publicKey,
  }),
  v.strictObject({
    verb: v.literal('redeem'),
    inviteBlob: v.pipe(v.string(), v.maxLength(16_384), v.regex(/^[A-Za-z0-9+/]+={0,2}$/, 'not a key')),
    publicKey: RegisterRequestSchema.entries.publicKey,
  }),
]);

async function answer(): Promise<RegisterReply> {
  if (process.argv.length > 2) throw new BytebackError('usage', { what: 'byteback-register takes no arguments' });
  if (process.getuid?.() !== 0) {
    throw new BytebackError('usage', {
      what: 'byteback-register must run as root',
      fix: 'sudo starts it; nobody else needs to',
    });
  }
  const request = await readRequest(process.stdin, RequestSchema);
  const config = await loadServerConfig();
  const account = await findUser(config.user);
  if (account === undefined) {
    throw new BytebackError('usage', {
      what: `the user ${config.user} does not exist`,
      fix: 'on the server, run: byteback-setup-server',
    });
  }
  const deps = {
    store: await openStore(config),
    registryPath: serverPaths.authorizedKeys,
    account,
    clock: systemClock,
    forgetMachine,
  };
  const reply = await (request.verb === 'register' ? registerClient(request, deps) : redeemInvite(request, deps));
  await logSecurityEvent(
    `client ${reply.client} registered, by ${request.verb === 'register' ? 'an admin key or password' : 'its invite'}`,
  );
  return reply;
}

process.umask(0o022);
process.chdir('/');
try {
  process.stdout.write(`${JSON.stringify(await answer())}\n`);
} catch (error) {
  const failure = failureOf(error);
  process.stdout.write(`${JSON.stringify(failure)}\n`);
  process.exitCode = exitCodes[failure.exit];
}
