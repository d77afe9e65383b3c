import { BlockList, isIPv6 } from 'node:net';
import type { ClientPolicy, Right } from '../config/server-config.ts';
import { isInWindow, parseWindow } from '../config/time-window.ts';
import type { WireCommand } from '../protocol/command.ts';
import { isRefusal, type Refusal as Unparsed } from '../protocol/rsync-options.ts';
import type { Caller } from './receive/identify.ts';
import { Refusal } from './refusal.ts';

/** One command of one session, and all that decides whether it may be done. */
export interface Attempt {
  readonly caller: Caller;
  /** Of the client that it is; strangers have none. */
  readonly policy: ClientPolicy | undefined;
  /** Where it comes from, as sshd says. */
  readonly address: string | undefined;
  /** The server's clock. */
  readonly now: Date;
  readonly command: WireCommand | Unparsed;
}

/**
 * Lets a command pass, or throws. It looks at nothing but what it is given, so that a test can ask it everything.
 * @throws Refusal that names the first check that fails.
 */
export function authorise({ caller, policy, address, now, command }: Attempt): WireCommand {
  if (caller.role === 'client' && policy !== undefined) {
    requireAddress(policy, address);
    requireWindow(policy, now);
  }
  if (isRefusal(command)) {
    // What rsync may be told is no secret, and whoever set an option of rsync's in good faith must learn which.
    const told =
      caller.role === 'client' && (command.told === true || /^the (?:option|first word)/.test(command.refusal));
    throw new Refusal('command', { what: 'the command is refused', why: command.refusal }, { told });
  }
  requireRole(caller, command);
  if (caller.role === 'client' && policy !== undefined) requireRight(policy, caller.name, command);
  return command;
}

function requireAddress(policy: ClientPolicy, address: string | undefined): void {
  if (policy.from.length === 0) return;
  if (policy.from.some((network) => isInside(address ?? '', network))) return;
  throw new Refusal(
    'from',
    { what: 'this client may not come from here', why: `its "from" in server.toml holds ${policy.from.join(', ')}` },
    { told: false },
  );
}

function requireWindow(policy: ClientPolicy, now: Date): void {
  if (policy.window.length === 0) return;
  const windows = policy.window.map(parseWindow).filter((window) => window !== undefined);
  if (windows.some((window) => isInWindow(window, now))) return;
  throw new Refusal(
    'window',
    { what: 'this client may not come now', why: `its "window" in server.toml holds ${policy.window.join(', ')}` },
    { told: false },
  );
}

/** Those who are no client yet have one command each, which no client has. */
function requireRole(caller: Caller, { verb }: WireCommand): void {
  const only = { admin: 'register', password: 'register', invite: 'redeem', client: undefined }[caller.role];
  if (only === undefined ? verb !== 'register' && verb !== 'redeem' : verb === only) return;
  const who = {
    admin: 'this key may only register',
    password: 'a password may only register',
    invite: 'an invite can only be redeemed',
    client: 'this is the key of a client, which is registered already',
  }[caller.role];
  throw new Refusal('command', { what: `${verb} is refused`, why: who }, { told: false });
}

function requireRight(policy: ClientPolicy, client: string, command: WireCommand): void {
  const right = rightFor(command);
  if (right === undefined || policy.allow.includes(right)) return;
  throw new Refusal(
    'allow',
    {
      what: `${command.verb} is not allowed for ${client}`,
      why: `its "allow" in server.toml does not hold ${right}`,
    },
    { told: false },
  );
}

/** What the admin must have allowed for a command; nothing for the harmless, or for what is never a client's. */
function rightFor({ verb }: WireCommand): Right | undefined {
  switch (verb) {
    case 'prepare':
    case 'complete':
    case 'restore':
    case 'transfer':
      return verb;
    case 'check':
    case 'separate':
    case 'replay':
    case 'list':
    case 'outcome':
      return 'transfer';
    case 'ended':
      return 'prepare';
    case 'snapshots':
    case 'versions':
    case 'find':
    case 'changes':
    case 'machine':
    case 'tree':
    case 'digests':
    case 'drill':
    case 'proof':
      return 'restore';
    case 'ping':
    case 'register':
    case 'redeem':
      return undefined;
  }
}

/** True when an address lies in a network such as 192.0.2.0/24, or is the one address named. */
export function isInside(address: string, network: string): boolean {
  const [base = '', prefix] = network.split('/');
  const family = isIPv6(base) ? 'ipv6' : 'ipv4';
  // A server that listens on IPv6 may see ::ffff:192.0.2.1 for 192.0.2.1.
  const mapped = family === 'ipv4' ? address.replace(/^::ffff:/i, '') : address;
  const list = new BlockList();
  try {
    if (prefix === undefined) list.addAddress(base, family);
    else list.addSubnet(base, Number(prefix), family);
    return list.check(mapped, isIPv6(mapped) ? 'ipv6' : 'ipv4');
  } catch {
    // What is no address is in no network.
    return false;
  }
}
