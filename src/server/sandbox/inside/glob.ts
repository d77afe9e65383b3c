import picomatch from 'picomatch';
import { unescapeName } from '../../../protocol/file-name.ts';
import type { ByteName } from './walk.ts';

/** A pattern, taken apart so that a walk goes only where something can match. */
export interface Glob {
  /** The directories that it names in full: the walk begins there. */
  readonly below: readonly ByteName[];
  matches(names: readonly ByteName[]): boolean;
  /** Whether something below a directory can match. */
  enters(names: readonly ByteName[]): boolean;
}

const magic = /[*?[\]{}\\]/;
/**
 * A file whose name begins with a dot is a file like others, and a line end (flag s) is a character like others; what else
 * picomatch knows is left alone.
 */
const options = { dot: true, nonegate: true, noextglob: true, strictSlashes: true, flags: 's' } as const;

/** A name as text, one character for each: bytes that are no UTF-8 become what no valid text holds. */
export function textOf(name: ByteName): string {
  if (ascii.test(name)) return name;
  const text = Buffer.from(name, 'latin1').toString('utf8');
  if (!text.includes('\ufffd') || Buffer.from(text, 'utf8').toString('latin1') === name) return text;
  return name.replaceAll(/[\x80-\xff]/g, (byte) => String.fromCharCode(0xdc00 + byte.charCodeAt(0)));
}

const ascii = /^[\0-\x7f]*$/;

/** The bytes of such a text. */
function bytesOf(text: string): ByteName {
  const parts = text.split(/([\udc80-\udcff])/);
  // Every second part is one byte that is no text.
  return parts
    .map((part, at) =>
      at % 2 === 0 ? Buffer.from(part, 'utf8').toString('latin1') : String.fromCharCode(part.charCodeAt(0) - 0xdc00),
    )
    .join('');
}

/** @param escaped an absolute pattern in the escaped form of names; a backslash before a letter of a pattern takes its meaning away. */
export function compileGlob(escaped: string): Glob {
  const segments = splitAtSlashes(shellSets(textOf(unescapeName(escaped).toString('latin1'))));
  const firstMagic = segments.findIndex((segment) => magic.test(segment));
  // The last name is always looked for in its directory.
  const fixed = segments.slice(0, firstMagic < 0 ? segments.length - 1 : firstMagic);
  const below = fixed.map((segment) => bytesOf(segment));
  const rest = segments.slice(fixed.length);
  const whole = picomatch(rest.join('/'), options);
  const each = rest.map((segment) => picomatch(segment, options));
  const openFrom = rest.findIndex((segment) => segment.includes('**') || segment.includes('/'));
  const relative = (names: readonly ByteName[]) => names.slice(below.length).map((name) => textOf(name));
  return {
    below,
    matches(names) {
      const texts = relative(names);
      if (openFrom < 0 && texts.length !== rest.length) return false;
      return texts.length > 0 && whole(texts.join('/'));
    },
    enters(names) {
      const texts = relative(names);
      const checked = openFrom < 0 ? rest.length - 1 : openFrom;
      if (openFrom < 0 && texts.length > checked) return false;
      return texts.slice(0, checked).every((text, at) => each[at]?.(text) ?? false);
    },
  };
}

/** The shell's [!a] as picomatch knows it: [^a]. */
function shellSets(pattern: string): string {
  return pattern.replaceAll(/\\.|\[!/gs, (found) => (found === '[!' ? '[^' : found));
}

/** Slashes in braces and sets part nothing. */
function splitAtSlashes(pattern: string): string[] {
  const segments = [''];
  let depth = 0;
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === '\\') {
      segments[segments.length - 1] += character + pattern.charAt(at + 1);
      at += 1;
      continue;
    }
    if (character === '{') depth += 1;
    if (character === '}') depth = Math.max(0, depth - 1);
    if (character === '/' && depth === 0) segments.push('');
    else segments[segments.length - 1] += character;
  }
  return segments.filter((segment) => segment !== '');
}
