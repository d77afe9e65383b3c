/**
 * rsync's filter rules with rsync's own meaning (its exclude.c and wildmatch.c), as a pure function of a path. The test
 * beside this file compares it with rsync itself on random trees and rules.
 *
 * Paths and patterns are byte strings: one character a byte (latin1).
 */

/** What the sender does with a path. */
export type Verdict = 'include' | 'exclude';

/** Decides about paths below the root. */
export interface RuleMatcher {
  /**
   * @param path relative to the root, without a slash at either end
   * Only the path itself is judged: what lies in an excluded directory is never asked for, as in rsync's walk.
   */
  verdict(path: string, isDirectory: boolean): Verdict;
}

/** A rule that this module cannot express; the caller falls back to asking rsync. */
export interface NotExpressible {
  readonly notExpressible: string;
}

interface Matcher {
  readonly directoryOnly: boolean;
  readonly matches: (path: string, name: string, isDirectory: boolean) => boolean;
}

/** How a rule without wildcards finds its paths without being tried on each. */
type Keyed = { readonly by: 'path' | 'name' | 'parent'; readonly key: string; readonly directoryOnly: boolean };

interface CompiledRule {
  readonly verdict: Verdict;
  readonly keyed?: Keyed;
  readonly matcher?: Matcher;
}

/**
 * Compiles rules in rsync's short form (`+ PATTERN`, `- PATTERN`, `P PATTERN`, `H PATTERN`, `S PATTERN`, `R PATTERN`), in order.
 * Rules for the receiver say nothing of what is sent. Merge files and modifiers are not expressible.
 */
export function compileRules(rules: readonly string[]): RuleMatcher | NotExpressible {
  const compiled: CompiledRule[] = [];
  for (const rule of rules) {
    const match = /^([-+PHSR]) ([\s\S]+)$/.exec(rule);
    if (match === null) return { notExpressible: rule };
    const [, kind, pattern = ''] = match;
    if (kind === 'P' || kind === 'R') continue;
    compiled.push({ verdict: kind === '+' || kind === 'S' ? 'include' : 'exclude', ...compilePattern(pattern) });
  }
  return makeMatcher(compiled);
}

interface Entry {
  readonly order: number;
  readonly directoryOnly: boolean;
}

/** First match wins; most rules are found by a look-up, the others are tried in order. */
function makeMatcher(rules: readonly CompiledRule[]): RuleMatcher {
  const tables = {
    path: new Map<string, Entry[]>(),
    name: new Map<string, Entry[]>(),
    parent: new Map<string, Entry[]>(),
  };
  const tried: { order: number; matcher: Matcher }[] = [];
  rules.forEach((rule, order) => {
    if (rule.keyed !== undefined) {
      const table = tables[rule.keyed.by];
      table.set(rule.keyed.key, [
        ...(table.get(rule.keyed.key) ?? []),
        { order, directoryOnly: rule.keyed.directoryOnly },
      ]);
    } else if (rule.matcher !== undefined) {
      tried.push({ order, matcher: rule.matcher });
    }
  });
  const first = (entries: readonly Entry[] | undefined, isDirectory: boolean): number => {
    if (entries !== undefined)
      for (const { order, directoryOnly } of entries) if (isDirectory || !directoryOnly) return order;
    return Number.POSITIVE_INFINITY;
  };
  return {
    verdict: (path, isDirectory) => {
      const slash = path.lastIndexOf('/');
      const name = slash < 0 ? path : path.slice(slash + 1);
      let best = Math.min(
        first(tables.path.get(path), isDirectory),
        first(tables.name.get(name), isDirectory),
        first(tables.parent.get(slash < 0 ? '' : path.slice(0, slash)), isDirectory),
      );
      for (const { order, matcher } of tried) {
        if (order >= best) break;
        if (matcher.directoryOnly && !isDirectory) continue;
        if (matcher.matches(path, name, isDirectory)) best = order;
      }
      return best === Number.POSITIVE_INFINITY ? 'include' : (rules[best]?.verdict ?? 'include');
    },
  };
}

/** Understands one pattern as rsync's add_rule and rule_matches do. */
function compilePattern(text: string): { keyed: Keyed } | { matcher: Matcher } {
  const directoryOnly = text.length > 1 && text.endsWith('/');
  const pattern = directoryOnly ? text.slice(0, -1) : text;
  const anchored = pattern.startsWith('/');
  const slashes = pattern.split('/').length - 1;
  const bare = anchored ? pattern.slice(1) : pattern;
  if (!/[*?[]/.test(pattern)) {
    if (anchored) return { keyed: { by: 'path', key: bare, directoryOnly } };
    if (slashes === 0) return { keyed: { by: 'name', key: bare, directoryOnly } };
    return { matcher: { directoryOnly, matches: (path) => path === bare || path.endsWith(`/${bare}`) } };
  }
  const parent = anchored ? literalParent(bare) : undefined;
  if (parent !== undefined) return { keyed: { by: 'parent', key: parent, directoryOnly } };
  return { matcher: { directoryOnly, matches: compileWild(bare, { anchored, slashes, pattern }) } };
}

/** The directory in a pattern of the shape `/dir/*`, or undefined when the pattern is any other. */
function literalParent(bare: string): string | undefined {
  if (bare === '*') return '';
  if (!bare.endsWith('/*')) return undefined;
  const directory = bare.slice(0, -2);
  if (!/^(?:[^\\*?[]|\\[\s\S])*$/.test(directory)) return undefined;
  return directory.replace(/\\([\s\S])/g, '$1');
}

function compileWild(
  bare: string,
  { anchored, slashes, pattern }: { anchored: boolean; slashes: number; pattern: string },
): Matcher['matches'] {
  const anyDepth = pattern.includes('**');
  const prefix = pattern.startsWith('**');
  const matchesDirectoryToo = anyDepth && pattern.endsWith('***');
  const body = wildToRegExp(bare);
  if (body === undefined) return () => false;
  if (slashes === 0 && !anyDepth) {
    const expression = new RegExp(`^${body}$`);
    return (_, name) => expression.test(name);
  }
  if (!anchored && !anyDepth) {
    // It is tried on just as many elements from the end as it has slashes, those in brackets counted too.
    const expression = new RegExp(`^${body}$`);
    return (path) => {
      const end = lastElements(path, slashes + 1);
      return end !== undefined && expression.test(end);
    };
  }
  // A pattern with an inner `**` may begin after any slash, unless it is anchored or begins with the `**`.
  const free = !anchored && !prefix;
  const expression = new RegExp(`^${free ? '(?:[^]*/)?' : ''}${body}$`);
  return (path, _, isDirectory) =>
    expression.test(`${prefix && !anchored ? '/' : ''}${path}${matchesDirectoryToo && isDirectory ? '/' : ''}`);
}

/** The last elements of a path, or undefined when it has fewer. */
function lastElements(path: string, count: number): string | undefined {
  let start = path.length;
  for (let found = 0; found < count; found += 1) {
    if (start < 0) return undefined;
    start = path.lastIndexOf('/', start - 1);
    if (start < 0 && found < count - 1) return undefined;
  }
  return path.slice(start + 1);
}

/** A wildmatch pattern as the source of a regular expression; undefined when it can match nothing. */
function wildToRegExp(pattern: string): string | undefined {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern.charAt(at);
    if (char === '*') {
      let stars = 1;
      while (pattern.charAt(at + 1) === '*') {
        stars += 1;
        at += 1;
      }
      source += stars > 1 ? '[^]*' : '[^/]*';
    } else if (char === '?') {
      source += '[^/]';
    } else if (char === '[') {
      const set = parseClass(pattern, at);
      if (set === undefined) return undefined;
      source += set.source;
      at = set.end;
    } else if (char === '\\') {
      at += 1;
      if (at >= pattern.length) return undefined;
      source += literal(pattern.charCodeAt(at));
    } else {
      source += literal(pattern.charCodeAt(at));
    }
  }
  return source;
}

function literal(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

const namedClasses: Readonly<Record<string, RegExp>> = {
  alnum: /[0-9A-Za-z]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,
  cntrl: /[\x00-\x1f\x7f]/,
  digit: /[0-9]/,
  graph: /[\x21-\x7e]/,
  lower: /[a-z]/,
  print: /[\x20-\x7e]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t\n\v\f\r]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

/** A bracket expression, step by step as wildmatch's loop goes, into the set of bytes that it lets through. */
function parseClass(pattern: string, start: number): { source: string; end: number } | undefined {
  let at = start + 1;
  const negated = pattern.charAt(at) === '!' || pattern.charAt(at) === '^';
  if (negated) at += 1;
  const bytes = new Set<number>();
  let previous: number | undefined;
  // The first character is taken even when it is the closing bracket.
  for (let isFirst = true; isFirst || pattern.charAt(at) !== ']'; at += 1, isFirst = false) {
    if (at >= pattern.length) return undefined;
    const char = pattern.charAt(at);
    if (char === '\\') {
      at += 1;
      if (at >= pattern.length) return undefined;
      previous = pattern.charCodeAt(at);
      bytes.add(previous);
    } else if (char === '-' && previous !== undefined && at + 1 < pattern.length && pattern.charAt(at + 1) !== ']') {
      at += 1;
      if (pattern.charAt(at) === '\\') at += 1;
      if (at >= pattern.length) return undefined;
      for (let byte = previous; byte <= pattern.charCodeAt(at); byte += 1) bytes.add(byte);
      previous = undefined;
    } else if (char === '[' && pattern.charAt(at + 1) === ':') {
      const close = pattern.indexOf(']', at + 2);
      if (close < 0) return undefined;
      if (close === at + 2 || pattern.charAt(close - 1) !== ':') {
        // No `:]`: an ordinary bracket.
        bytes.add(0x5b);
        previous = 0x5b;
        continue;
      }
      const named = namedClasses[pattern.slice(at + 2, close - 1)];
      if (named === undefined) return undefined;
      for (let byte = 1; byte < 256; byte += 1) if (named.test(String.fromCharCode(byte))) bytes.add(byte);
      at = close;
      previous = undefined;
    } else {
      previous = pattern.charCodeAt(at);
      bytes.add(previous);
    }
  }
  let source = '';
  for (let byte = 1; byte < 256; byte += 1) if (bytes.has(byte) !== negated && byte !== 0x2f) source += literal(byte);
  return { source: source === '' ? '[]' : `[${source}]`, end: at };
}
