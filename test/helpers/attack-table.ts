/** The table of attacks: what was tried against byteback, and what must happen. One row, one attack. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Attack {
  readonly id: string;
  readonly category: string;
  readonly how: string;
  readonly mustHappen: string;
}

export function readAttacks(): Attack[] {
  return readFileSync(join(import.meta.dirname, '../fixtures/attacks.tsv'), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [id = '', category = '', how = '', mustHappen = ''] = line.split('\t');
      return { id, category, how, mustHappen };
    });
}

/** Names on the server under attack that the placeholders of the table stand for. */
export interface Target {
  readonly me: string;
  readonly other: string;
  readonly snapshot: string;
}

function fillIn(text: string, { me, other, snapshot }: Target): string {
  return text
    .replaceAll('{HOME}', '/byteback/clients')
    .replaceAll('{ME}/current', `/byteback/clients/${me}/current/fs`)
    .replaceAll('{ME}', `/byteback/clients/${me}`)
    .replaceAll('{OTHER}', other)
    .replaceAll('{SNAP}', snapshot)
    .replaceAll('{LATEST}', snapshot)
    .replaceAll('{NL}', '\n')
    .replaceAll('{TAB}', '\t')
    .replace('{A x 120000}', 'A'.repeat(120_000));
}

/** The command that a row sends, if it sends one. */
export function commandOf({ how }: Attack, target: Target): string | undefined {
  const text = /^SSH_ORIGINAL_COMMAND: (.*)$/s.exec(how)?.[1];
  return text === undefined ? undefined : fillIn(text, target);
}

/** The same attack in the words of our own protocol, past its first checks: all that is required is there. */
export function inOurWords(command: string, run: string, snapshot: string): string | undefined {
  const [, first, rest] = /^rsync (--server --sender|--server) (.*)$/s.exec(command) ?? [];
  if (first === undefined || rest === undefined) return undefined;
  const words = rest.replace(/^-logDtpre/, '-lHogDtpAXre').replace(/^-lXXogDtpre/, '-lHogDtpAXXre');
  const at = words.indexOf(' ');
  const [letters, options] = at === -1 ? [words, ''] : [words.slice(0, at), words.slice(at + 1)];
  return first === '--server'
    ? `transfer ${run} --server ${letters} -@-1 --numeric-ids ${options}`
    : `restore ${snapshot} --server --sender ${letters} --numeric-ids --files-from=- --from0 ${options}`;
}

/** The client name or public key that a row brings to set-up; its text is escaped twice in the table. */
export function quotedIn({ how }: Attack, what: 'host name' | 'public key'): string | undefined {
  const quoted = new RegExp(`^setup with ${what} "(.*)"$`, 's').exec(how)?.[1];
  return quoted
    ?.replaceAll('\\\\', '\\')
    .replaceAll(/\\u([0-9a-f]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replaceAll('\\t', '\t')
    .replaceAll('\\"', '"');
}
