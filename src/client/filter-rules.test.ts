import { describe, expect, it } from 'vitest';
import { compileRules } from '../catalogue/excludes.ts';
import {
  exactPattern,
  makeRules,
  parentsOf,
  patternRules,
  type RuleInput,
  serializeRules,
  topmost,
} from './filter-rules.ts';
import type { Region } from './mounts.ts';

const nothing: RuleInput = { sources: ['/'], patterns: [], regions: [], cacheDirectories: [], protectOutside: false };

function leave(path: string, extent: Region['extent'] = 'contents'): Region {
  return { path, verdict: 'leave', extent, why: '' };
}
function take(path: string): Region {
  return { path, verdict: 'take', extent: 'whole', why: '' };
}

/** Which of some paths the rules let through, each with all directories on its way. */
function letThrough(input: Partial<RuleInput>, paths: readonly string[]): string[] {
  const matcher = compileRules(makeRules({ ...nothing, ...input }));
  if ('notExpressible' in matcher) throw new Error(matcher.notExpressible);
  const isDirectory = (path: string) => paths.some((other) => other.startsWith(`${path}/`));
  return paths.filter((path) =>
    [...parentsOf(path), path].every(
      (at) => matcher.verdict(at.slice(1), at !== path || isDirectory(at)) === 'include',
    ),
  );
}

describe('filter rules', () => {
  it('of everything are none', () => {
    expect(makeRules(nothing)).toEqual([]);
  });

  it('keep mount points as empty directories', () => {
    expect(makeRules({ ...nothing, regions: [leave('/proc')] })).toEqual(['- /proc/*']);
    expect(letThrough({ regions: [leave('/proc')] }, ['/proc', '/proc/1', '/proc/1/fd', '/process'])).toEqual([
      '/proc',
      '/process',
    ]);
  });

  it('lead to the sources and no further', () => {
    expect(makeRules({ ...nothing, sources: ['/srv/a'] })).toEqual(['+ /srv/', '+ /srv/a', '- /*', '- /srv/*']);
    const paths = ['/srv', '/srv/a', '/srv/a/b', '/srv/ab', '/srv/b', '/etc', '/etc/passwd', '/a'];
    expect(letThrough({ sources: ['/srv/a'] }, paths)).toEqual(['/srv', '/srv/a', '/srv/a/b']);
    expect(letThrough({ sources: ['/srv/a', '/etc/passwd'] }, paths)).toEqual([
      '/srv',
      '/srv/a',
      '/srv/a/b',
      '/etc',
      '/etc/passwd',
    ]);
  });

  it('protect what lies outside of sources that were named on the command line', () => {
    expect(makeRules({ ...nothing, sources: ['/srv/a'], protectOutside: true })).toEqual([
      '+ /srv/',
      '+ /srv/a',
      'P /*',
      'P /srv/*',
      '- /*',
      '- /srv/*',
    ]);
  });

  it('heed the patterns of the person, but only inside the sources', () => {
    const paths = ['/srv/a.o', '/srv/a.c', '/etc/x.c', '/srv/cache', '/srv/cache/x'];
    expect(letThrough({ sources: ['/srv'], patterns: ['*.o', 'cache'] }, paths)).toEqual(['/srv/a.c']);
    expect(letThrough({ sources: ['/srv'], patterns: ['+ */', '+ *.c', '- *'] }, paths)).toEqual([
      '/srv/a.c',
      '/srv/cache',
    ]);
    expect(patternRules(['*.o', '!', '- x', '+ y', 'z'])).toEqual(['- x', '+ y', '- z']);
  });

  it('take a disk inside something left out, with the directories on its way', () => {
    const regions = [leave('/run/media/stick/tmp'), take('/run/media/stick'), leave('/run')];
    const paths = [
      '/run',
      '/run/x',
      '/run/media',
      '/run/media/y',
      '/run/media/stick/a/b',
      '/run/media/stick/tmp/z',
      '/run/media/stick/tmp',
    ];
    expect(letThrough({ regions }, paths)).toEqual([
      '/run',
      '/run/media',
      '/run/media/stick/a/b',
      '/run/media/stick/tmp',
    ]);
  });

  it('take two disks in the same directory', () => {
    const regions = [take('/run/media/a'), take('/run/media/b'), leave('/run')];
    const paths = ['/run/media/a/x', '/run/media/b/x', '/run/media/c/x', '/run/y'];
    expect(letThrough({ regions }, paths)).toEqual(['/run/media/a/x', '/run/media/b/x']);
  });

  it('keep only the tag of a cache directory', () => {
    const paths = ['/c', '/c/CACHEDIR.TAG', '/c/x', '/c/sub/CACHEDIR.TAG'];
    expect(letThrough({ cacheDirectories: ['/c'] }, paths)).toEqual(['/c', '/c/CACHEDIR.TAG']);
  });

  it('hold names with wildcards, backslashes, spaces and newlines', () => {
    for (const name of ['/a*b', '/a[b]', '/a\\b', '/a\\*b', '/a?', '/ a ', '/a\nb', '/\xff', '/#a', '/!']) {
      const paths = [name, `${name}/x`, '/aXb', '/ab', '/aX'];
      expect(letThrough({ regions: [leave(name)] }, paths)).toEqual([name, '/aXb', '/ab', '/aX']);
      expect(letThrough({ regions: [leave(name, 'whole')] }, paths)).toEqual(['/aXb', '/ab', '/aX']);
      expect(letThrough({ sources: [name] }, paths)).toEqual([name, `${name}/x`]);
    }
    expect(exactPattern('/a\\b')).toBe('/a\\b');
    expect(exactPattern('/a\\*b')).toBe('/a\\\\\\*b');
  });

  it('are separated by NUL, byte for byte', () => {
    expect(serializeRules(['- /a\nb', '- /\xff'])).toEqual(Buffer.from('- /a\nb\0- /\xff\0', 'latin1'));
  });
});

describe('topmost paths', () => {
  it('lie in no other', () => {
    expect(topmost(['/a/b', '/a', '/ab', '/a'])).toEqual(['/a', '/ab']);
    expect(topmost(['/a', '/'])).toEqual(['/']);
  });
});
