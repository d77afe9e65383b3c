import { readFile } from 'node:fs/promises';
import { type BytebackError, reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { Refusal } from '../refusal.ts';
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
  return new Refusal('key', {
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
    case 'redeemed':
      // The one refusal of a key that is told: whoever comes second may be the one whom the invite was for.
      throw new Refusal('key', {
        what: `the invite for ${entry.name} was redeemed already, by another machine`,
        why: `at ${entry.redeemedAt.toISOString().slice(0, 19)}Z; an invite works once, and whoever redeemed it is ${entry.name} now`,
        fix: `if that was not you, somebody else has read it: on the server, run: byteback client revoke ${entry.name}; look at: byteback events; then: byteback client invite ${entry.name} --replace`,
      });
    default:
      throw new Refusal(
        'key',
        {
          what: 'this key belongs to no client',
          why: 'it is not in the registry of the server, or stands there twice',
        },
        { told: false },
      );
  }
}
