/**
 * What GNU find complains of, understood: which place of the tree could not be looked at, and why. Pure.
 *
 * With LC_ALL=C each complaint is one line: `find: 'NAME': REASON`. find escapes quotes, backslashes and all that is not printable
 * in the name, so that no name can pass for another, or for the end of its own.
 */

/** A place that could not be looked at, or not to its end. */
export interface Unlooked {
  /** Absolute, as a byte string. */
  readonly path: string;
  readonly why: string;
  /** It leads back to a directory that it lies in: find passed it over. */
  readonly isLoop: boolean;
}

/** What find said. */
export interface FindSays {
  readonly unlooked: readonly Unlooked[];
  /** The first line that is none of the known ones: then nothing is certain. */
  readonly unknown?: string;
}

const complaint = /^find: '((?:[^'\\]|\\.)*)': (.+)$/;
const loop = /^find: File system loop detected; '((?:[^'\\]|\\.)*)' is part of the same file system loop as '/;

/** What vanished under find's hands is gone, and that is a fact like any other: it is not told. */
export function parseFindSays(text: string): FindSays {
  const unlooked: Unlooked[] = [];
  let unknown: string | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, name, why = ''] = complaint.exec(line) ?? loop.exec(line) ?? [];
    if (name === undefined) unknown ??= line;
    else if (why !== 'No such file or directory') {
      const isLoop = why === '';
      unlooked.push({
        path: unquote(name),
        why: isLoop ? 'it leads back to a directory that it lies in' : why,
        isLoop,
      });
    }
  }
  return { unlooked, ...(unknown === undefined ? {} : { unknown }) };
}

const letters: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function unquote(name: string): string {
  return name.replace(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (letters[code] ?? code),
  );
}
