import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { BytebackError, reasonOf } from '../../errors.ts';

/** No invite is longer, in bytes. */
const maxInviteBytes = 4096;

/** Where set-up gets the invite from. */
export type InviteSource = { readonly kind: 'ask' } | { readonly kind: 'file'; readonly path: string };

/** The command line without its words about the invite, and what they say. */
export interface InviteWords {
  readonly rest: readonly string[];
  readonly source: InviteSource | undefined;
}

/**
 * Takes `--invite`, `--invite -`, `--invite @FILE` and `--invite-file FILE` out of a command line. A token there is refused: every user
 * of the machine reads it in /proc, and whoever redeems it first is the client. It is not used any more, nor shown.
 */
export function takeInviteWords(argv: readonly string[]): InviteWords {
  const rest: string[] = [];
  let source: InviteSource | undefined;
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (word === '--') return { rest: [...rest, ...argv.slice(at)], source };
    const [, flag, joined] = /^(--invite|--invite-file)(?:=(.*))?$/s.exec(word) ?? [];
    if (flag === undefined) {
      rest.push(word);
      continue;
    }
    const next = argv[at + 1];
    const hasValue = joined === undefined && next !== undefined && (next === '-' || !next.startsWith('-'));
    const value = joined ?? (hasValue ? next : undefined);
    if (hasValue) at += 1;
    if (source !== undefined) throw new BytebackError('usage', { what: 'the invite is named twice' });
    source = flag === '--invite' ? sourceOf(value) : fileOf(value);
  }
  return { rest, source };
}

function fileOf(value: string | undefined): InviteSource {
  if (value === undefined || value === '') throw new BytebackError('usage', { what: '--invite-file needs a file' });
  return value === '-' ? { kind: 'ask' } : { kind: 'file', path: value };
}

function sourceOf(value: string | undefined): InviteSource {
  if (value === undefined || value === '-') return { kind: 'ask' };
  if (value.startsWith('@')) return fileOf(value.slice(1));
  throw new BytebackError('usage', {
    what: 'the invite stands on the command line, and is not used',
    why: 'every user of this machine can read it there, and whoever redeems it first becomes this client',
    fix: 'on the server, make a new one, which voids this one: byteback client invite NAME; then give --invite alone, and paste it when it asks (or --invite-file FILE, or --invite - for standard input)',
  });
}

/**
 * The invite, from where it is said to be.
 * @param ask asks a person, or reads standard input.
 * @throws BytebackError `usage` when there is none, or others can read it.
 */
export async function readInvite(source: InviteSource, ask: (question: string) => Promise<string>): Promise<string> {
  const invite =
    source.kind === 'file' ? await readInviteFile(source.path) : await ask('Paste the invite (it is not shown): ');
  if (invite !== '') return invite;
  throw new BytebackError('usage', {
    what: `no invite came from ${source.kind === 'file' ? source.path : 'standard input'}`,
    fix: 'paste what byteback client invite printed below its line, all of it',
  });
}

/** The invite in a file that only its owner can read. @throws BytebackError `usage` when it cannot be read, or others can read it. */
async function readInviteFile(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw new BytebackError('usage', { what: `cannot read ${path}`, why: reasonOf(error) });
  });
  try {
    const { mode, size } = await file.stat();
    if ((mode & 0o077) !== 0) {
      throw new BytebackError('usage', {
        what: `${path} is not used: others can read it`,
        why: `its mode is 0${(mode & 0o777).toString(8)}; whoever has read it may have used it`,
        fix: `chmod 600 ${path}; when other users are on this machine, ask for a new invite`,
      });
    }
    if (size > maxInviteBytes) throw new BytebackError('usage', { what: `${path} is too large for an invite` });
    return (await file.readFile('utf8')).trim();
  } finally {
    await file.close();
  }
}
