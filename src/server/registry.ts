import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BytebackError } from '../errors.ts';
import { type ClientName, whyNotClientName } from '../protocol/names.ts';
import { type PublicKey, publicKeyOn } from '../protocol/public-key.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';

/** A registered client's key. */
export interface ClientEntry {
  readonly role: 'client';
  readonly name: ClientName;
  readonly key: PublicKey;
}

/** A key that may register new clients, and nothing else. */
export interface AdminEntry {
  readonly role: 'admin';
  /** A label of ours, so that a person can tell the keys apart. */
  readonly name: string;
  readonly key: PublicKey;
}

/** A one-time key that turns into the key of the client it names. */
export interface InviteEntry {
  readonly role: 'invite';
  readonly name: ClientName;
  readonly key: PublicKey;
  /** Whole seconds. */
  readonly expiresAt: Date;
  /** It replaces the key of a client that exists. */
  readonly replace: boolean;
}

/**
 * An invite that was redeemed. Until it would have expired, whoever comes with it hears that somebody was there before: without the
 * line sshd would only say that it does not know the key.
 */
export interface RedeemedEntry {
  readonly role: 'redeemed';
  readonly name: ClientName;
  readonly key: PublicKey;
  /** Whole seconds, as the invite had it. */
  readonly expiresAt: Date;
  /** Whole seconds. */
  readonly redeemedAt: Date;
}

export type RegistryEntry = ClientEntry | AdminEntry | InviteEntry | RedeemedEntry;

/** A line that is not ours: a comment, an empty line, or something strange (`why` set) that gives nobody a role. */
interface OtherLine {
  readonly text: string;
  readonly why?: string;
}

type RegistryLine = RegistryEntry | OtherLine;

/** What `/etc/byteback/authorized_keys` says: one key a line, in order. */
export interface Registry {
  readonly lines: readonly RegistryLine[];
}

/** A line that byteback did not write, for `doctor` and for warnings. */
export interface StrangeLine {
  /** Counted from 1. */
  readonly line: number;
  readonly why: string;
}

/** What sshd runs for every key, whatever the drop-in says: the second wall. */
const receiveCommand = '/usr/lib/byteback/byteback-receive';

const header = [
  "# byteback's registry: one key a line. byteback and its root helpers write this file; it must stay root's.",
  '# List it with: byteback client list',
];

const linePattern =
  /^restrict(?:,expiry-time="(\d{12}Z)")?,command="([^"]*)" ([a-z0-9.@-]+ [A-Za-z0-9+/=]+) (client|admin|invite|redeemed):(\S+)$/;
const timePattern = '\\d{8}T\\d{6}Z';
const invitePattern = new RegExp(`^([^:]+):(${timePattern})(:replace)?$`);
const redeemedPattern = new RegExp(`^([^:]+):(${timePattern}):(${timePattern})$`);
const adminLabelPattern = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;

export const emptyRegistry: Registry = { lines: header.map((text) => ({ text })) };

function isEntry(line: RegistryLine): line is RegistryEntry {
  return 'role' in line;
}

/** The keys that mean something, in the order of the file. */
export function entriesOf(registry: Registry): readonly RegistryEntry[] {
  return registry.lines.filter(isEntry);
}

/** The lines that are neither ours nor comments. */
export function strangeLines(registry: Registry): readonly StrangeLine[] {
  return registry.lines.flatMap((line, at) =>
    isEntry(line) || line.why === undefined ? [] : [{ line: at + 1, why: line.why }],
  );
}

/** `20261122T120000Z`: as it stands in an invite's comment. */
function compactTime(time: Date): string {
  return `${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

/** `202611221201Z`: sshd knows whole minutes here on every version; rounded up, because ours is the exact one. */
function sshdExpiry(time: Date): string {
  const minute = new Date(Math.ceil(time.getTime() / 60_000) * 60_000);
  return `${minute.toISOString().slice(0, 16).replaceAll(/[-:T]/g, '')}Z`;
}

/** The moment that a compact time says, or undefined when there is no such moment. */
function momentOf(text: string): Date | undefined {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text) ?? [];
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time.getTime()) || compactTime(time) !== text ? undefined : time;
}

/** What stands in the comment of an invite, or of one that was redeemed: the latter's second time is when that was. */
function parseInvite(
  text: string,
  role: 'invite' | 'redeemed',
  key: PublicKey,
  expiry: string | undefined,
): InviteEntry | RedeemedEntry | string {
  const found = (role === 'invite' ? invitePattern : redeemedPattern).exec(text);
  if (found === null) return 'its comment is not that of an invite';
  const [, name = '', expires = '', third = ''] = found;
  const expiresAt = momentOf(expires);
  const redeemedAt = role === 'redeemed' ? momentOf(third) : undefined;
  if (expiresAt === undefined || (role === 'redeemed' && redeemedAt === undefined))
    return 'its expiry time does not exist';
  if (expiry !== sshdExpiry(expiresAt)) return 'its two expiry times differ';
  const why = whyNotClientName(name);
  if (why !== undefined) return `its client name: ${why}`;
  const common = { name: name as ClientName, key, expiresAt };
  return redeemedAt === undefined
    ? { role: 'invite', ...common, replace: third !== '' }
    : { role: 'redeemed', ...common, redeemedAt };
}

function parseEntry(text: string): RegistryEntry | string {
  const [, expiry, command, keyText = '', role, name = ''] = linePattern.exec(text) ?? [];
  if (role === undefined) return 'it is not a line of byteback';
  if (command !== receiveCommand) return 'its command is not byteback-receive';
  const key = publicKeyOn(keyText);
  if (typeof key === 'string') return `its key: ${key}`;
  if (role === 'invite' || role === 'redeemed') return parseInvite(name, role, key, expiry);
  if (expiry !== undefined) return 'it expires, but is no invite';
  if (role === 'admin') return adminLabelPattern.test(name) ? { role, name, key } : 'its label is malformed';
  const why = whyNotClientName(name);
  return why === undefined ? { role: 'client', name: name as ClientName, key } : `its client name: ${why}`;
}

/**
 * Reads the registry's text. It never fails: a line that is not exactly as byteback writes it gives nobody a role,
 * is kept as it is, and is told by `strangeLines`.
 */
export function parseRegistry(text: string): Registry {
  const rows = text.split('\n');
  if (rows.at(-1) === '') rows.pop();
  return {
    lines: rows.map((row) => {
      if (row.trim() === '' || row.startsWith('#')) return { text: row };
      const entry = parseEntry(row);
      return typeof entry === 'string' ? { text: row, why: entry } : entry;
    }),
  };
}

function renderEntry(entry: RegistryEntry): string {
  const key = `${entry.key.type} ${entry.key.blob}`;
  if (!('expiresAt' in entry)) return `restrict,command="${receiveCommand}" ${key} ${entry.role}:${entry.name}`;
  const further = entry.role === 'redeemed' ? `:${compactTime(entry.redeemedAt)}` : entry.replace ? ':replace' : '';
  const comment = `${entry.role}:${entry.name}:${compactTime(entry.expiresAt)}${further}`;
  return `restrict,expiry-time="${sshdExpiry(entry.expiresAt)}",command="${receiveCommand}" ${key} ${comment}`;
}

/** The text of the file. `parseRegistry` of it gives the same registry. */
export function renderRegistry(registry: Registry): string {
  return registry.lines.map((line) => `${isEntry(line) ? renderEntry(line) : line.text}\n`).join('');
}

/**
 * Whom a key belongs to, or undefined when to nobody. A blob that stands on two lines belongs to nobody: refuse when in doubt.
 * An expired invite is still found: whoever redeems it compares `expiresAt` with the clock.
 */
export function findKey(registry: Registry, blob: string): RegistryEntry | undefined {
  const found = entriesOf(registry).filter((entry) => entry.key.blob === blob);
  return found.length === 1 ? found[0] : undefined;
}

/** The entry of a registered client. */
export function findClient(registry: Registry, name: ClientName): ClientEntry | undefined {
  return entriesOf(registry).find((entry): entry is ClientEntry => entry.role === 'client' && entry.name === name);
}

/** True when the key stands on any line, strange ones included. */
export function holdsKey(registry: Registry, blob: string): boolean {
  return registry.lines.some((line) =>
    isEntry(line) ? line.key.blob === blob : line.text.split(/\s+/).includes(blob),
  );
}

/**
 * The registry with one more entry.
 * @throws BytebackError `refused` when the key stands there already, or a client or admin of this name does.
 */
export function withEntry(registry: Registry, entry: RegistryEntry): Registry {
  if (holdsKey(registry, entry.key.blob)) {
    throw new BytebackError('refused', {
      what: `the key for ${entry.name} is refused`,
      why: 'it is registered already, for somebody else or twice',
      fix: 'make a new key: one key belongs to one client',
    });
  }
  if (
    !('expiresAt' in entry) &&
    entriesOf(registry).some(({ role, name }) => role === entry.role && name === entry.name)
  ) {
    throw new BytebackError('refused', {
      what: `${entry.role} ${entry.name} has a key already`,
      why: 'it is replaced only by an explicit act of the admin',
      fix: `on the server, run: byteback client invite ${entry.name} --replace`,
    });
  }
  return { lines: [...registry.lines, entry] };
}

/** The registry without the entries that match. Lines that are not ours stay. */
export function withoutEntries(registry: Registry, matches: (entry: RegistryEntry) => boolean): Registry {
  return { lines: registry.lines.filter((line) => !isEntry(line) || !matches(line)) };
}

/** The registry with an invite marked as redeemed: its key opens nothing any more. */
export function withRedeemed(registry: Registry, blob: string, now: Date): Registry {
  const redeemedAt = new Date(Math.floor(now.getTime() / 1000) * 1000);
  return {
    lines: registry.lines.map((line) => {
      if (!isEntry(line) || line.role !== 'invite' || line.key.blob !== blob) return line;
      const { name, key, expiresAt } = line;
      return { role: 'redeemed', name, key, expiresAt, redeemedAt };
    }),
  };
}

/** The registry without invites whose time is over, redeemed or not. */
export function withoutExpired(registry: Registry, now: Date): Registry {
  return withoutEntries(registry, (entry) => 'expiresAt' in entry && entry.expiresAt.getTime() <= now.getTime());
}

/** Who must own the registry and the directory it lies in: root. Another only in tests without root. */
export interface RegistryOwner {
  readonly ownerUid?: number;
}

function untrusted(path: string, why: string): BytebackError {
  return new BytebackError('refused', {
    what: `${path} cannot be trusted`,
    why,
    fix: 'on the server, run: byteback doctor',
  });
}

async function readTrusted(file: FileHandle, path: string, ownerUid: number): Promise<string> {
  const stats = await file.stat();
  if (!stats.isFile()) throw untrusted(path, 'it is not a regular file');
  if (stats.uid !== ownerUid || (stats.mode & 0o022) !== 0) throw untrusted(path, 'others than root can write it');
  return file.readFile('utf8');
}

/**
 * Reads the registry. A link, or a file that others than root can write, is refused: it decides who is who.
 * @throws BytebackError `usage` when it is missing, `refused` when it cannot be trusted.
 */
export async function readRegistry(path: string, { ownerUid = 0 }: RegistryOwner = {}): Promise<Registry> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOOP') throw untrusted(path, 'it is a symbolic link');
    if (!isMissing(error)) throw error;
    throw new BytebackError('usage', {
      what: `${path} is missing`,
      why: 'this machine is not set up as a byteback server',
      fix: 'run: byteback-setup-server',
    });
  }
  try {
    return parseRegistry(await readTrusted(file, path, ownerUid));
  } finally {
    await file.close();
  }
}

/** Replaces the registry in one rename, root's and readable by sshd's unprivileged half and by receive. */
export async function writeRegistry(
  path: string,
  registry: Registry,
  { ownerUid = 0 }: RegistryOwner = {},
): Promise<void> {
  const directory = await lstat(dirname(path));
  if (!directory.isDirectory() || directory.uid !== ownerUid || (directory.mode & 0o022) !== 0) {
    throw untrusted(dirname(path), 'it is not a directory that only root can write');
  }
  await writeFileAtomically(path, renderRegistry(registry), {
    mode: 0o644,
    uid: ownerUid,
    ...(ownerUid === 0 ? { gid: 0 } : {}),
  });
}
