import { BytebackError } from '../../errors.ts';
import { unescapeName } from '../../protocol/file-name.ts';

/**
 * The absolute path that a person means, as bytes: relative ones count from the working directory, `.` and `..` are
 * taken away, and a name may be written in the escaped form in which listings print it (`caf\xe9`).
 * @throws BytebackError (usage) for a name that no file can have.
 */
export function absolutePath(typed: string, workingDirectory: string): Buffer {
  return absolute(unescapeName(typed), typed, workingDirectory);
}

/**
 * What a person may mean, in the order in which it is looked for: the name as it is typed, for real names hold backslashes
 * (systemd's `mnt-my\x2ddisk.mount`); then the name that is written in the escaped form.
 * @throws BytebackError (usage) for a name that no file can have.
 */
export function meanings(typed: string, workingDirectory: string): readonly [Buffer, ...Buffer[]] {
  const literal = absolute(Buffer.from(typed), typed, workingDirectory);
  // `a\x00b` can only be meant as it is.
  if (unescapeName(typed).includes(0)) return [literal];
  const escaped = absolutePath(typed, workingDirectory);
  return literal.equals(escaped) ? [literal] : [literal, escaped];
}

/** A pattern in which a backslash stands for itself. */
export function withPlainBackslashes(pattern: Buffer): Buffer {
  return Buffer.from(pattern.toString('latin1').replaceAll('\\', '\\\\'), 'latin1');
}

function absolute(bytes: Buffer, typed: string, workingDirectory: string): Buffer {
  if (bytes.length === 0 || bytes.includes(0)) {
    throw new BytebackError('usage', { what: `not a path: ${JSON.stringify(typed)}` });
  }
  // latin1 keeps every byte, so that names that are no text survive.
  const name = bytes.toString('latin1');
  const from = name.startsWith('/') ? '' : Buffer.from(workingDirectory).toString('latin1');
  const parts: string[] = [];
  for (const part of `${from}/${name}`.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return Buffer.from(`/${parts.join('/')}`, 'latin1');
}

/** The root of a snapshot, as rsync's list of files has it. */
export const everything = Buffer.from('./');

/** Whether a list of names is the whole snapshot. */
export function isEverything(names: readonly Buffer[]): boolean {
  return names.length === 1 && names[0]?.equals(everything) === true;
}

/** The path below a snapshot's root, as rsync's list of files has it: `srv/a`, and `./` for all of it. */
export function relativeToRoot(path: Uint8Array): Buffer {
  return path.length === 1 ? everything : Buffer.from(path.subarray(1));
}

/** True when a path holds what has a meaning in patterns: it is looked for as one when no file is called so. */
export function isPattern(path: Uint8Array): boolean {
  return /[*?[{]/.test(Buffer.from(path).toString('latin1'));
}
