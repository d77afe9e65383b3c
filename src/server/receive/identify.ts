import { readFile } from 'node:fs/promises';
import { BlockList, isIPv6 } from 'node:net';
import type { ClientPolicy } from '../../config/server-config.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { findKey, type Registry } from '../registry.ts';

/** Whom sshd let in. */
export type Caller =
  | { readonly role: 'client'; readonly name: ClientName }
  /** May only register. */
  | { readonly role: 'admin' }
  | { readonly role: 'password' }
  /** May only redeem. */
  | { readonly role: 'invite'; readonly blob: string };

/** How somebody logged in, as sshd writes it with ExposeAuthInfo: one method a line. */
export type Login = { readonly keyBlob: string } | { readonly password: true };

/** No real file of it is larger: a key of 16,384 bits is 3 kB. */
const maxAuthInfoBytes = 65_536;

/** Reads what sshd says of the log-in. @throws BytebackError refused when it says nothing that can be relied on. */
export async function readLogin(path: string | undefined): Promise<Login> {
  if (path === undefined || path === '') throw notKnown('sshd does not tell who logged in');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw notKnown(reasonOf(error));
  }
  const login = parseLogin(text);
  if (login === undefined) throw notKnown('sshd tells of no log-in by exactly one key or by a password');
  return login;
}

function notKnown(why: string): BytebackError {
  return new BytebackError('refused', {
    what: 'the server cannot tell who this is',
    why,
    fix: 'on the server, run: byteback doctor',
  });
}

/** A key decides where there is one; two keys are nobody. */
export function parseLogin(text: string): Login | undefined {
  if (text.length > maxAuthInfoBytes) return undefined;
  const methods = text.split('\n').filter((line) => line !== '');
  const keys = methods.filter((line) => line.startsWith('publickey '));
  if (keys.length === 1) {
    const blob = /^publickey [a-z0-9@.-]+ ([A-Za-z0-9+/=]+)$/.exec(keys[0] ?? '')?.[1];
    return blob === undefined ? undefined : { keyBlob: blob };
  }
  if (keys.length > 1) return undefined;
  const byPassword = methods.some((line) => line === 'password' || line.startsWith('keyboard-interactive'));
  return byPassword ? { password: true } : undefined;
}

/** Who it is that logged in. @throws BytebackError refused when the key is nobody's. */
export function whoIs(login: Login, registry: Registry): Caller {
  if (!('keyBlob' in login)) return { role: 'password' };
  const entry = findKey(registry, login.keyBlob);
  switch (entry?.role) {
    case 'client':
      return { role: 'client', name: entry.name };
    case 'admin':
      return { role: 'admin' };
    case 'invite':
      return { role: 'invite', blob: login.keyBlob };
    default:
      throw new BytebackError('refused', {
        what: 'this key belongs to no client',
        why: 'it is not in the registry of the server, or stands there twice',
        fix: 'register it: byteback-setup-client --destination …',
      });
  }
}

/** @throws BytebackError refused when the policy names networks and the caller comes from none of them. */
export function requireAddress(policy: ClientPolicy, sshConnection: string | undefined): void {
  if (policy.from.length === 0) return;
  const address = sshConnection?.split(' ')[0] ?? '';
  if (policy.from.some((network) => isInside(address, network))) return;
  throw new BytebackError('refused', {
    what: 'this client may not come from here',
    why: `its "from" in server.toml on the server does not hold ${/^[0-9a-fA-F.:]+$/.test(address) ? address : 'this address'}`,
  });
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
