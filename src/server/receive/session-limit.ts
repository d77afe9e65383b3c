import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';

/** A run needs four or five at once; the rest is for a restore beside it. */
export const mostSessions = 12;

/** What `ps` shows of a session; it is also how sessions are counted. */
export function sessionTitle(client: ClientName, verb: string): string {
  return `byteback-receive ${client} ${verb}`;
}

/**
 * Counts the sessions of a client, this one included, by the titles of the processes. A process in a jail may give itself
 * any title, but not this process' namespace.
 */
export function countSessions(client: ClientName): number {
  // A title may be cut to the length of the command line that the process began with.
  const mine = titleOf('self').slice(0, sessionTitle(client, '').length);
  const space = namespaceOf('self');
  return readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && titleOf(pid).startsWith(mine) && namespaceOf(pid) === space,
  ).length;
}

function titleOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/\0.*$/s, '');
  } catch {
    // It has ended.
    return '';
  }
}

function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    // It has ended, or is somebody else's.
    return undefined;
  }
}

/** @returns how many there are. @throws BytebackError refused when a client has too many sessions open at once. */
export function requireFewSessions(client: ClientName): number {
  const sessions = countSessions(client);
  if (sessions <= mostSessions) return sessions;
  throw new BytebackError('refused', {
    what: `${client} has too many sessions open`,
    why: `${mostSessions} at once are the limit`,
    fix: 'wait for the end of some',
  });
}
