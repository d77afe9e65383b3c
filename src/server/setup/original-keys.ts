import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { escapeName } from '../../protocol/file-name.ts';
import { type ClientName, parseClientName } from '../../protocol/names.ts';
import { type PublicKey, parsePublicKey } from '../../protocol/public-key.ts';
import { findUser } from '../../system/accounts.ts';
import type { ClientEntry } from '../registry.ts';

/** A client of the original byteback, as its `authorized_keys` has it. */
export interface OriginalClient {
  readonly name: ClientName;
  readonly key: PublicKey;
  /** The one address that it may come from; undefined: any. */
  readonly from: string | undefined;
}

/** What the original's `authorized_keys` says: who can be taken over, and what cannot, with the reason. */
export interface OriginalKeys {
  readonly clients: readonly OriginalClient[];
  readonly left: readonly { readonly line: number; readonly why: string }[];
}

/** More than any real file of it has. */
const maxFileBytes = 1024 * 1024;

/** The options before the key: `command="byteback-receive",from="192.0.2.1",environment="BYTEBACK_HOST=web1"`. */
const linePattern = /^((?:[A-Za-z-]+(?:="[^"]*")?(?:,|(?=\s)))*)\s+([a-z0-9@.-]+\s+[A-Za-z0-9+/=]+)(?:\s.*)?$/;

function optionOf(options: string, pattern: RegExp): string | undefined {
  return pattern.exec(options)?.[1];
}

function parseLine(line: string): OriginalClient | string {
  const [, options = '', keyText = ''] = linePattern.exec(line) ?? [];
  if (!/(?:^|,)command="(?:[^"]*\/)?byteback-receive"/.test(options)) return 'it is not a key of a client';
  const host = optionOf(options, /(?:^|,)environment="BYTEBACK_HOST=([^"]*)"/);
  if (host === undefined) return 'it names no client';
  const name = parseClientName(host);
  if (name === undefined) return `${escapeName(host.slice(0, 128))} cannot be the name of a client here`;
  const from = optionOf(options, /(?:^|,)from="([^"]*)"/);
  if (from !== undefined && isIP(from) === 0)
    return `it may come from ${escapeName(from.slice(0, 128))}, which is no single address`;
  try {
    return { name, key: parsePublicKey(keyText.replace(/\s+/, ' ')), from };
  } catch (error) {
    return `its key is not taken: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Reads the text of the original's `authorized_keys`. In doubt nobody is taken over: a name with two keys, a key with two names. */
export function parseOriginalKeys(text: string): OriginalKeys {
  const clients: { line: number; client: OriginalClient }[] = [];
  const left: { line: number; why: string }[] = [];
  text.split('\n').forEach((row, at) => {
    const line = row.trim();
    if (line === '' || line.startsWith('#')) return;
    const client = parseLine(line);
    if (typeof client === 'string') left.push({ line: at + 1, why: client });
    else clients.push({ line: at + 1, client });
  });
  const isAlone = ({ client }: (typeof clients)[number]) =>
    clients.filter(({ client: other }) => other.name === client.name || other.key.blob === client.key.blob).length ===
    1;
  for (const { line, client } of clients.filter((one) => !isAlone(one)))
    left.push({ line, why: `${client.name} or its key stands there twice` });
  return {
    clients: clients.filter(isAlone).map(({ client }) => client),
    left: left.toSorted((one, other) => one.line - other.line),
  };
}

/**
 * The keys of the original's clients, where its user is the one that receives now; nobody's where there was no original. The file
 * belonged to that user, so that it is read as anything that a client may have written.
 */
export async function readOriginalKeys(store: string, user: string): Promise<OriginalKeys> {
  const none: OriginalKeys = { clients: [], left: [] };
  const account = await findUser(user);
  if (account === undefined) return none;
  const directory = await open(
    join(store, '.ssh'),
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  ).catch(() => undefined);
  if (directory === undefined) return none;
  try {
    // By the descriptor: the user may put a link in the place of .ssh meanwhile.
    const path = `/proc/self/fd/${directory.fd}/authorized_keys`;
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
      () => undefined,
    );
    if (file === undefined) return none;
    try {
      const stats = await file.stat();
      if (!stats.isFile() || (stats.uid !== account.uid && stats.uid !== 0) || stats.size > maxFileBytes) return none;
      return parseOriginalKeys(await file.readFile('latin1'));
    } finally {
      await file.close();
    }
  } finally {
    await directory.close();
  }
}

/** Their entries in the registry. */
export function entriesOfOriginals({ clients }: OriginalKeys): ClientEntry[] {
  return clients.map(({ name, key }) => ({ role: 'client', name, key }));
}

/** Their tables in a new server.toml: what sshd checked for the original, byteback checks from now on. */
export function originalsToml({ clients }: OriginalKeys): string {
  return clients
    .filter(({ from }) => from !== undefined)
    .map(
      ({ name, from }) =>
        `\n[client.${JSON.stringify(name)}]\nfrom = [${JSON.stringify(from)}]     # as the original byteback had it\n`,
    )
    .join('');
}
