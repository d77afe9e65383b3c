import { parseCommand, type WireCommand } from '../../src/protocol/command.ts';
import { buildRsyncArgv, isRefusal } from '../../src/protocol/rsync-options.ts';

/** Commands as a client's rsync makes them, for the tests of what is accepted and what is not. */
export const run = '0123456789abcdef0123456789abcdef';
export const letters = '-lHogDtpAXre.iLsfxCIvu';
export const push = `transfer ${run} --server ${letters} --timeout=600 --delete-excluded -@-1 --partial --numeric-ids . .`;
export const check = `check --server -nlHogDtpAXdRce.LsfxCIvu --timeout=600 --no-r --delete-excluded --delete-missing-args -@-1 --force --partial --numeric-ids . .`;
export const pull = `restore 2026-11-20T030000Z --server --sender -lHogDtpAXRe.LsfxCIvu --timeout=60 --numeric-ids --files-from=- --from0 . .`;
export const server = { timeoutSeconds: 600, confine: true };

/** What is refused, or fails the test. */
export function refusalOf(text: string | undefined): string {
  const command = parseCommand(text);
  if (!isRefusal(command)) throw new Error(`not refused: ${JSON.stringify(text)}`);
  return command.refusal;
}

export function accepted(text: string): WireCommand {
  const command = parseCommand(text);
  if (isRefusal(command)) throw new Error(`${command.refusal}: ${text}`);
  return command;
}

export function argvOf(text: string): string[] {
  const command = accepted(text);
  if (command.verb === 'transfer') return buildRsyncArgv('push', command.rsync, server);
  if (command.verb === 'check') return buildRsyncArgv('check', command.rsync, server);
  if (command.verb === 'restore') return buildRsyncArgv('pull', command.rsync, server);
  throw new Error(`no rsync in ${text}`);
}
