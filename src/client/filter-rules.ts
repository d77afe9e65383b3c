import { isWithin, type Region } from './mounts.ts';

/** One rsync filter rule as it stands in a NUL-separated merge file, as a byte string. */
export type Rule = string;

/** The bytes of a path inside a pattern in which rsync looks for wildcards: `*`, `?`, `[` and the backslash are escaped. */
function escapeWild(path: string): string {
  return path.replace(/[\\*?[]/g, '\\$&');
}

/**
 * A pattern that matches just this path. rsync reads a pattern without wildcards byte by byte, backslashes included, and
 * only one with wildcards has escapes: hence the two forms.
 */
export function exactPattern(path: string): string {
  return /[*?[]/.test(path) ? escapeWild(path) : path;
}

/** A pattern that matches what lies directly in a directory. */
function contentsPattern(path: string): string {
  return path === '/' ? '/*' : `${escapeWild(path)}/*`;
}

/** The directories on the way to a path, from the topmost: `/srv` and `/srv/a` for `/srv/a/b`. */
export function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let end = path.indexOf('/', 1); end > 0; end = path.indexOf('/', end + 1)) parents.push(path.slice(0, end));
  return parents;
}

/** What the rules of a run are made from. */
export interface RuleInput {
  /** Rules in rsync's filter syntax, tried before the patterns. */
  readonly filters?: readonly string[];
  /** The person's own patterns, in order, as rsync's --exclude takes them: `+ ` and `- ` in front, `!` clears. */
  readonly patterns: readonly string[];
  /** What is copied, absolute. */
  readonly sources: readonly string[];
  /** From the deepest to the topmost. */
  readonly regions: readonly Region[];
  /** Directories with a valid CACHEDIR.TAG. */
  readonly cacheDirectories: readonly string[];
  /** What lies outside the sources stays on the server; otherwise it is deleted there. */
  readonly protectOutside: boolean;
}

/**
 * The rules of a full walk from the root, in the order in which rsync tries them. With --delete-excluded a rule `-` counts
 * for the sender only, so that what is newly excluded leaves `current`; `P` protects what lies there.
 *
 * First the way to the sources and the end of the world around them, so that no pattern of the person reaches outside;
 * then the person's patterns; then what byteback leaves out itself, the deepest first. What no rule names is copied.
 */
export function makeRules(input: RuleInput): Rule[] {
  const rules: Rule[] = [];
  const sources = topmost(input.sources);
  if (!sources.includes('/')) {
    const ways = unique(sources.flatMap(parentsOf));
    rules.push(
      ...ways.map((parent) => `+ ${exactPattern(parent)}/`),
      ...sources.map((source) => `+ ${exactPattern(source)}`),
    );
    const around = ['/', ...ways].map(contentsPattern);
    // `-` alone would let the receiver delete it.
    if (input.protectOutside) rules.push(...around.map((pattern) => `P ${pattern}`));
    rules.push(...around.map((pattern) => `- ${pattern}`));
  }
  rules.push(...(input.filters ?? []), ...patternRules(input.patterns));
  for (const directory of [...input.cacheDirectories].sort((a, b) => b.length - a.length)) {
    rules.push(`+ ${exactPattern(`${directory}/CACHEDIR.TAG`)}`, `- ${contentsPattern(directory)}`);
  }
  for (const region of withWays(input.regions)) {
    if (region.verdict === 'leave') {
      rules.push(`- ${region.extent === 'whole' ? exactPattern(region.path) : contentsPattern(region.path)}`);
    } else {
      rules.push(...parentsOf(region.path).map((parent) => `+ ${exactPattern(parent)}/`));
      rules.push(`+ ${exactPattern(region.path)}`, `+ ${escapeWild(region.path)}/**`);
    }
  }
  return unique(rules);
}

/**
 * The rules, before all others, for what a run does not look into and the server keeps as it has it: nobody opens it here, and nothing
 * deletes it there.
 */
export function keepRules(paths: readonly string[]): Rule[] {
  return paths.flatMap((path) => [`P ${exactPattern(path)}`, `- ${exactPattern(path)}`]);
}

/**
 * The regions that need rules: all that is left out, what is taken inside of it, and the directories between the two, of
 * which nothing else is taken.
 */
function withWays(regions: readonly Region[]): Region[] {
  const needed = regions.flatMap((region, at): Region[] => {
    if (region.verdict === 'leave') return [region];
    const outer = regions
      .slice(at + 1)
      .find(({ path, verdict }) => verdict === 'leave' && isWithin(region.path, path) && path !== region.path);
    if (outer === undefined) return [];
    const ways = parentsOf(region.path).filter((parent) => isWithin(parent, outer.path));
    return [region, ...ways.map((path): Region => ({ path, verdict: 'leave', extent: 'contents', why: outer.why }))];
  });
  const depth = (path: string) => path.split('/').length;
  // Where a directory stands twice, the rule of what was decided comes first.
  return needed.sort((a, b) => depth(b.path) - depth(a.path));
}

/** The paths that lie in none of the others. */
export function topmost(paths: readonly string[]): string[] {
  return unique(paths).filter((path) => !paths.some((other) => other !== path && isWithin(path, other)));
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

/** The person's patterns as rules, with the prefixes that --exclude and --exclude-from know. */
export function patternRules(patterns: readonly string[]): Rule[] {
  const rules: Rule[] = [];
  for (const pattern of patterns) {
    if (pattern === '!') rules.length = 0;
    else if (pattern.startsWith('+ ') || pattern.startsWith('- ')) rules.push(pattern);
    else rules.push(`- ${pattern}`);
  }
  return rules;
}

/** The merge file that rsync reads with --from0. */
export function serializeRules(rules: readonly Rule[]): Buffer {
  return Buffer.from(rules.map((rule) => `${rule}\0`).join(''), 'latin1');
}
