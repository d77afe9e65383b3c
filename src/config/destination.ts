/** Where a client sends its files: `user@host:`; the path is for servers of the original byteback only. */
export interface Destination {
  /** Undefined when the text names none: ssh's own configuration decides, and `byteback` is the default. */
  readonly user: string | undefined;
  /** A DNS name, an alias of ssh's configuration, or an address without brackets. */
  readonly host: string;
  readonly path: string;
}

/** What a destination looks like, for error messages. */
export const destinationForm = 'user@host: with the colon, such as "byteback@backup.example.net:"';

/** The parts of a destination, or undefined when it is none. Nothing in it can be taken for an option by ssh. */
export function parseDestination(text: string): Destination | undefined {
  const match = /^(?:([^@:\s]+)@)?(\[[0-9A-Fa-f:.%a-z]+\]|[^@:\s[\]/]+):(\S*)$/.exec(text);
  if (match === null) return undefined;
  const [, user, bracketed = '', path = ''] = match;
  const host = bracketed.startsWith('[') ? bracketed.slice(1, -1) : bracketed;
  if (user !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(user)) return undefined;
  if (!/^[A-Za-z0-9_:.%-]+$/.test(host) || host.startsWith('-')) return undefined;
  return { user, host, path };
}
