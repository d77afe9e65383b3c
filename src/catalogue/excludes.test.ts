import { describe, expect, it } from 'vitest';
import { compileRules } from './excludes.ts';

function excludes(rules: string | readonly string[], path: string, isDirectory = false): boolean {
  const matcher = compileRules(typeof rules === 'string' ? [`- ${rules}`] : rules);
  if ('notExpressible' in matcher) throw new Error(matcher.notExpressible);
  return matcher.verdict(path, isDirectory) === 'exclude';
}

// Each of these was asked of rsync 3.5.0; test/integration/excludes.test.ts asks it thousands more.
describe("an rsync pattern's meaning", () => {
  it.each<[string, string[], string[]]>([
    ['foo', ['foo', 'a/foo', 'a/b/foo'], ['foox', 'a/foo/b', 'xfoo']],
    ['/foo', ['foo'], ['a/foo']],
    ['a/b', ['a/b', 'x/a/b'], ['xa/b', 'a/bb', 'a/b/c']],
    ['*.o', ['x.o', 'a/x.o', '.o'], ['x.oo', 'o']],
    ['/a/*', ['a/x'], ['a', 'a/x/y', 'b/a/x']],
    ['/a/**', ['a/x', 'a/x/y'], ['a', 'b/a/x']],
    ['a/**/z', ['a/b/z', 'a/b/c/z', 'x/a/b/z'], ['a/z']],
    ['**/z', ['z', 'a/z', 'a/b/z'], ['zz']],
    ['f??', ['fab', 'x/fab'], ['fa', 'f/b']],
    ['[ab]x', ['ax', 'y/bx'], ['cx']],
    ['[!ab]x', ['cx'], ['ax', '/x']],
    ['[[:digit:]]', ['1'], ['a', ':']],
    ['a\\*b', ['a*b'], ['axb']],
    ['a\\b', ['a\\b'], ['ab']],
    ['[b', [], ['[b', 'b']],
  ])('%s', (pattern, yes, no) => {
    expect(yes.filter((path) => !excludes(pattern, path))).toEqual([]);
    expect(no.filter((path) => excludes(pattern, path))).toEqual([]);
  });

  it('with a slash at the end holds for directories only', () => {
    expect(excludes('cache/', 'a/cache', true)).toBe(true);
    expect(excludes('cache/', 'a/cache')).toBe(false);
    expect(excludes('/c*/', 'cache', true)).toBe(true);
  });

  it('with /*** holds for the directory and what is in it', () => {
    expect(excludes('/a/***', 'a', true)).toBe(true);
    expect(excludes('/a/***', 'a')).toBe(false);
    expect(excludes('/a/***', 'a/b/c')).toBe(true);
  });

  it('is decided by the first rule that matches', () => {
    expect(excludes(['+ /a/keep', '- /a/*'], 'a/keep')).toBe(false);
    expect(excludes(['- /a/*', '+ /a/keep'], 'a/keep')).toBe(true);
    expect(excludes(['+ *.c', '- a', '+ a'], 'a')).toBe(true);
  });

  it('says nothing for the receiver, and admits what it cannot say', () => {
    expect(excludes(['P a', 'R a'], 'a')).toBe(false);
    expect(excludes(['H a'], 'a')).toBe(true);
    for (const rule of [': .rsync-filter', '. /etc/rules', '-! a', '-p a', 'merge x', '!']) {
      expect(compileRules([rule])).toEqual({ notExpressible: rule });
    }
  });
});
