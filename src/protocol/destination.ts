import { isIPv6 } from 'node:net';
import { BytebackError } from '../errors.ts';

/** Where a client's files go: `user@host:[path]`, taken apart. */
export interface Destination {
  /** As it was typed. */
  readonly text: string;
  readonly user: string;
  /** A name, an ssh alias, an IPv4 address, or an IPv6 address without its brackets. */
  readonly host: string;
  /** What follows the colon; empty as a rule: the server knows where its store is. */
  readonly path: string;
}

/** The user and host as ssh and rsync take them: an IPv6 address in brackets only for rsync. */
export function sshHost(destination: Destination): string {
  return `${destination.user}@${destination.host}`;
}
export function rsyncHost(destination: Destination): string {
  return destination.host.includes(':') ? `${destination.user}@[${destination.host}]` : sshHost(destination);
}

const userPattern = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;
const hostPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$/;

/**
 * Reads a destination. Strict, because its parts end up in the arguments of ssh: nothing may look like an option,
 * hold white space, quotes or any character that ssh, rsync or a configuration file gives a meaning of its own.
 * @throws BytebackError with exit `usage`, saying which part is wrong.
 */
export function parseDestination(text: string): Destination {
  const at = text.indexOf('@');
  if (at < 0) {
    throw bad(
      text,
      'there is no user before the host',
      `byteback@${hostPattern.test(text.replace(/:$/, '')) ? text.replace(/:$/, '') : 'host'}:`,
    );
  }
  const user = text.slice(0, at);
  if (!userPattern.test(user)) {
    throw bad(text, user === '' ? 'the user before the @ is missing' : 'the part before the @ is no user name');
  }
  const [host, rest] = splitHost(text, text.slice(at + 1));
  if (!rest.startsWith(':'))
    throw bad(text, 'the colon after the host is missing', `${user}@${host.includes(':') ? `[${host}]` : host}:`);
  const path = rest.slice(1);
  if (/[\u0000-\u0020\u007f"'\\`$;&|<>*?]/.test(path) || path.startsWith('-') || path.startsWith(':')) {
    throw bad(text, 'the path after the colon holds characters that a path on the server cannot have');
  }
  return { text, user, host, path };
}

/** The host, and what follows it. */
function splitHost(text: string, afterUser: string): [host: string, rest: string] {
  if (afterUser.startsWith('[')) {
    const end = afterUser.indexOf(']');
    const address = afterUser.slice(1, end < 0 ? undefined : end);
    if (end < 0) throw bad(text, 'the bracket around the IPv6 address is not closed');
    if (!isIPv6(address) || !/^[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?$/.test(address)) {
      throw bad(text, 'what stands in the brackets is no IPv6 address');
    }
    return [address, afterUser.slice(end + 1)];
  }
  const colons = afterUser.split(':').length - 1;
  if (colons > 1 && isIPv6(afterUser.replace(/:$/, ''))) {
    throw bad(
      text,
      'an IPv6 address needs brackets',
      `${text.slice(0, text.indexOf('@'))}@[${afterUser.replace(/:$/, '')}]:`,
    );
  }
  const colon = afterUser.indexOf(':');
  const host = colon < 0 ? afterUser : afterUser.slice(0, colon);
  if (host === '') throw bad(text, 'the host is missing');
  if (!hostPattern.test(host)) {
    throw bad(
      text,
      'the part between @ and the colon is no host name (letters, digits, dots, inner hyphens and underscores)',
    );
  }
  return [host, colon < 0 ? '' : afterUser.slice(colon)];
}

function bad(text: string, why: string, suggestion = 'byteback@backup.example.net:'): BytebackError {
  return new BytebackError('usage', {
    what: `not a destination: ${JSON.stringify(text)}`,
    why,
    fix: `write it as user@host: with the colon at the end, for example ${suggestion}`,
  });
}
