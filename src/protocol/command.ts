import { parseRunId, parseSnapshotName, type RunId, type SnapshotName } from './names.ts';
import { isRefusal, parseRsyncWords, type Refusal, type RsyncOptions } from './rsync-options.ts';

/** What a client asks of the server in one session: SSH_ORIGINAL_COMMAND, parsed. */
export type WireCommand =
  | { readonly verb: PlainVerb }
  | { readonly verb: 'separate' | 'replay'; readonly run: RunId }
  | { readonly verb: 'list'; readonly run: RunId; readonly scope: ListScope }
  | { readonly verb: 'transfer'; readonly run: RunId; readonly rsync: RsyncOptions }
  | { readonly verb: 'check'; readonly rsync: RsyncOptions }
  | { readonly verb: 'restore'; readonly snapshot: SnapshotName; readonly rsync: RsyncOptions }
  /** The names come on standard input, each ended by NUL. */
  | { readonly verb: 'tree' | 'digests'; readonly snapshot: SnapshotName };

/** What of `current` is listed: all of it, or what standard input names. */
export type ListScope = 'all' | 'named';

/** Verbs that are one word; their request is one JSON object on standard input. */
const plainVerbs = [
  'ping',
  'prepare',
  'outcome',
  'ended',
  'complete',
  'snapshots',
  'versions',
  'find',
  'changes',
  'machine',
  'drill',
  'proof',
  'register',
  'redeem',
] as const;
export type PlainVerb = (typeof plainVerbs)[number];

/** What the clients of the original byteback ask for: they are told in words what to do. */
const originalVerbs: ReadonlySet<string> = new Set([
  'byteback-receive',
  'byteback-restore',
  'byteback-setup-client-receive',
  'byteback-snapshot',
  'rsync',
]);

/** No command is longer, in bytes. A real one is shorter than 300. */
export const maxCommandBytes = 1024;

const allowedText = /^[A-Za-z0-9 .,_=%@:+/-]*$/;

/**
 * Parses what a client asks for. Everything that is not exactly as byteback's own client says it is refused, with a
 * reason in plain words; the reason holds nothing but printable ASCII.
 */
export function parseCommand(text: string | undefined): WireCommand | Refusal {
  if (text === undefined || text === '') return { refusal: 'no command was given: this account has no shell' };
  if (text.length > maxCommandBytes) return { refusal: `the command is longer than ${maxCommandBytes} bytes` };
  const [first = ''] = text.split(' ', 1);
  if (originalVerbs.has(first)) {
    return {
      refusal: `${first} is a command of the original byteback, whose server this is no more; on the client, install this byteback and run: byteback-setup-client --destination USER@HOST:`,
      told: true,
    };
  }
  if (!allowedText.test(text)) return { refusal: 'the command has a character that no command of byteback has' };
  const words = text.split(' ');
  if (words.includes('')) return { refusal: 'words must be separated by single spaces' };
  const [verb = '', ...rest] = words;
  switch (verb) {
    case 'transfer':
      return parseTransfer(rest);
    case 'check':
      return parseCheck(rest);
    case 'restore':
      return parseRestore(rest);
    case 'tree':
    case 'digests':
      return parseOfSnapshot(verb, rest);
    case 'separate':
      return parseOfRun('separate', rest);
    case 'replay':
      return parseOfRun('replay', rest);
    case 'list':
      return parseList(rest);
    default:
      return parsePlain(verb, rest);
  }
}

function parsePlain(verb: string, rest: readonly string[]): WireCommand | Refusal {
  const plain = plainVerbs.find((known) => known === verb);
  if (plain === undefined) return { refusal: `${verb.slice(0, 64)} is no command of byteback` };
  return rest.length === 0 ? { verb: plain } : { refusal: `${plain} takes no further word` };
}

function parseOfRun(verb: 'separate' | 'replay', [runText = '', ...rest]: readonly string[]): WireCommand | Refusal {
  const run = parseRunId(runText);
  if (run === undefined) return { refusal: `${verb} needs a run id` };
  return rest.length === 0 ? { verb, run } : { refusal: `${verb} takes no word after the run id` };
}

function parseList([runText = '', scope, ...rest]: readonly string[]): WireCommand | Refusal {
  const run = parseRunId(runText);
  if (run === undefined) return { refusal: 'list needs a run id' };
  if (scope !== 'all' && scope !== 'named') return { refusal: 'all or named must follow the run id' };
  return rest.length === 0 ? { verb: 'list', run, scope } : { refusal: `list takes no word after ${scope}` };
}

function parseOfSnapshot(verb: 'tree' | 'digests', [text = '', ...rest]: readonly string[]): WireCommand | Refusal {
  const snapshot = parseSnapshotName(text);
  if (snapshot === undefined) return { refusal: 'bad snapshot name' };
  return rest.length === 0 ? { verb, snapshot } : { refusal: `${verb} takes no word after the snapshot` };
}

function parseTransfer([runText = '', server, ...words]: readonly string[]): WireCommand | Refusal {
  const run = parseRunId(runText);
  if (run === undefined) return { refusal: 'transfer needs a run id' };
  if (server !== '--server') return { refusal: '--server must follow the run id' };
  const rsync = parseRsyncWords('push', words);
  return isRefusal(rsync) ? rsync : { verb: 'transfer', run, rsync };
}

function parseCheck([server, ...words]: readonly string[]): WireCommand | Refusal {
  if (server !== '--server') return { refusal: '--server must follow check' };
  const rsync = parseRsyncWords('check', words);
  return isRefusal(rsync) ? rsync : { verb: 'check', rsync };
}

function parseRestore([snapshotText = '', server, sender, ...words]: readonly string[]): WireCommand | Refusal {
  const snapshot = parseSnapshotName(snapshotText);
  if (snapshot === undefined) return { refusal: 'bad snapshot name' };
  if (server !== '--server' || sender !== '--sender') return { refusal: '--server --sender must follow the snapshot' };
  const rsync = parseRsyncWords('pull', words);
  return isRefusal(rsync) ? rsync : { verb: 'restore', snapshot, rsync };
}
