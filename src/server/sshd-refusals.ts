import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { escapeName } from '../protocol/file-name.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileAtomically } from '../system/files.ts';
import { run } from '../system/run.ts';
import { recordEvent } from './events.ts';
import type { Store } from './store.ts';

/** One log-in that sshd refused before byteback saw it. */
export interface SshdRefusal {
  readonly address: string;
  readonly port: string;
  readonly why: string;
}

/** Where sshd's log may lie, on Debian and its kin, and on others. */
const logFiles = ['/var/log/auth.log', '/var/log/secure', '/var/log/messages'];
const journals = ['/var/log/journal', '/run/log/journal'];

/** Bytes that are looked at in one go; who floods the log faster than that is told of all the same. */
const mostBytes = 4 * 1024 * 1024;
/** Addresses that get an event each; the others share one. */
const mostAddresses = 5;

/**
 * What a line of sshd's says of a refused log-in of a user, or undefined. Names and addresses are sshd's own words; a user's
 * name that somebody made up cannot stand where ours does.
 */
export function parseSshdLine(line: string, user: string): SshdRefusal | undefined {
  const message = messageOf(line);
  const patterns: readonly [RegExp, string][] = [
    [
      /^(?:error: )?maximum authentication attempts exceeded for (\S+) from (\S+) port (\d+)/,
      'too many keys were tried',
    ],
    [
      /^Failed (?:publickey|password|keyboard-interactive\/pam) for (\S+) from (\S+) port (\d+)/,
      'its key or password is not known here',
    ],
    [
      /^(?:Connection (?:closed|reset)|Disconnected) (?:by|from) authenticating user (\S+) (\S+) port (\d+)/,
      'it has no key that is known here',
    ],
  ];
  for (const [pattern, why] of patterns) {
    const [, name, address = '', port = ''] = pattern.exec(message) ?? [];
    if (name === user && /^[0-9a-fA-F.:]+$/.test(address)) return { address, port, why };
  }
  const denied = /^User (\S+) from (\S+) not allowed because (.{1,200})$/.exec(message);
  return denied?.[1] === user && /^[0-9a-fA-F.:]+$/.test(denied[2] ?? '')
    ? { address: denied[2] ?? '', port: '', why: `sshd does not allow it: ${escapeName(denied[3] ?? '')}` }
    : undefined;
}

/** A line of a log file: time, host, program; what another program says may hold sshd's words, but not at this place. */
const logLine =
  /^(?:\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)|[A-Z][a-z]{2} [ \d]\d [\d:]{8}) \S+ ([^\s:[\]]+)(?:\[\d+\])?: (.*)$/;

/** What sshd says in a line; nothing when another program wrote it. A line of the journal is the message alone. */
function messageOf(line: string): string {
  const [, program, message] = logLine.exec(line) ?? [];
  if (program === undefined || message === undefined) return line;
  return /^sshd(?:-session|-auth)?$/.test(program) ? message : '';
}

/** Reads what sshd has logged since the last time, and records refusals as events. Where there is no log, there are none. */
export async function collectSshdRefusals(
  store: Store,
  { clock, user, files = logFiles }: { clock: Clock; user: string; files?: readonly string[] },
): Promise<void> {
  const lines = await newLines(store, files);
  // A connection that tries three keys is refused once.
  const connections = new Map<string, SshdRefusal>();
  for (const line of lines) {
    const refusal = parseSshdLine(line, user);
    if (refusal !== undefined) connections.set(`${refusal.address} ${refusal.port}`, refusal);
  }
  const byAddress = Map.groupBy(connections.values(), ({ address }) => address);
  const groups = [...byAddress.values()].sort((one, other) => other.length - one.length);
  const rest = groups.slice(mostAddresses).flat();
  for (const group of [...groups.slice(0, mostAddresses), ...(rest.length === 0 ? [] : [rest])]) {
    const [{ address = '', why = '' } = {}] = group;
    await recordEvent(store, {
      at: clock.now().toISOString(),
      kind: 'refusal',
      what: 'sshd refused a log-in',
      why: group === rest ? `${why}, and from ${groups.length - mostAddresses} addresses in all` : why,
      check: 'sshd',
      address,
      ...(group.length === 1 ? {} : { count: group.length }),
    });
  }
}

async function newLines(store: Store, files: readonly string[]): Promise<string[]> {
  for (const directory of files === logFiles ? journals : []) {
    if ((await lstat(directory).catch(() => undefined)) !== undefined) return journalLines(store);
  }
  for (const path of files) {
    const lines = await fileLines(store, path);
    if (lines !== undefined) return lines;
  }
  return [];
}

async function journalLines(store: Store): Promise<string[]> {
  // As JSON: a message may hold line ends. By the fields that journald sets itself: anybody may log under the name of sshd.
  const form = ['--output=json', '--output-fields=MESSAGE'] as const;
  const argv = ['journalctl', '--quiet', '--no-pager', ...form, '--since=-1h', '--lines=20000', '_UID=0'] as const;
  const cursor = `--cursor-file=${join(store.stateDir, 'sshd-journal.cursor')}`;
  const programs = ['_COMM=sshd', '_COMM=sshd-session', '_COMM=sshd-auth'];
  const { stdout } = await run([...argv, cursor, ...programs], { accept: [0, 1] });
  return messagesIn(stdout.toString('utf8'));
}

/** The messages of `journalctl --output=json`; what is no text is left out. */
export function messagesIn(json: string): string[] {
  return json.split('\n').flatMap((line) => {
    if (line === '') return [];
    try {
      const { MESSAGE } = JSON.parse(line) as { MESSAGE?: unknown };
      return typeof MESSAGE === 'string' && !MESSAGE.includes('\n') ? [MESSAGE] : [];
    } catch {
      // Cut short; the next look begins behind it.
      return [];
    }
  });
}

/** The lines that a file got since it was last read: from its beginning when it is another file by now. */
async function fileLines(store: Store, path: string): Promise<string[] | undefined> {
  const file = await open(path, constants.O_RDONLY).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const { ino, size } = await file.stat();
    const memory = join(store.stateDir, 'sshd-log.json');
    const known = await readPlace(memory);
    const from = Math.max(known?.inode === ino && known.offset <= size ? known.offset : 0, size - mostBytes);
    const bytes = Buffer.alloc(Math.max(0, size - from));
    await file.read(bytes, 0, bytes.length, from);
    const whole = bytes.lastIndexOf(0x0a) + 1;
    await writeFileAtomically(memory, JSON.stringify({ inode: ino, offset: from + whole }), { mode: 0o600 });
    return bytes.subarray(0, whole).toString('latin1').split('\n');
  } finally {
    await file.close();
  }
}

async function readPlace(memory: string): Promise<{ inode: number; offset: number } | undefined> {
  const file = await open(memory, constants.O_RDONLY).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const value = JSON.parse(await file.readFile('utf8')) as { inode?: unknown; offset?: unknown };
    const { inode, offset } = value;
    return typeof inode === 'number' && typeof offset === 'number' ? { inode, offset } : undefined;
  } catch {
    // Damaged: the log is read from its beginning, and some refusals are told twice.
    return undefined;
  } finally {
    await file.close();
  }
}
