import { expect, test } from 'vitest';
import { escapeName } from '../../../protocol/file-name.ts';
import { compileGlob, textOf } from './glob.ts';
import { namesOf } from './walk.ts';

const names = (path: string) => namesOf(Buffer.from(path, 'latin1'));

test.each([
  ['/etc/*', '/etc/hosts', true],
  ['/etc/*', '/etc/.hidden', true],
  ['/etc/*', '/etc/ssh/sshd_config', false],
  ['/etc/*/*', '/etc/ssh/sshd_config', true],
  ['/etc/*/*', '/etc/hosts', false],
  ['/etc/**', '/etc/ssh/sshd_config', true],
  ['/**/*.conf', '/etc/a/b/c.conf', true],
  ['/**/*.conf', '/x.conf', true],
  ['/**/.git/config', '/srv/a/.git/config', true],
  ['/etc/host?', '/etc/hosts', true],
  ['/etc/**', '/etc/new\nline/a', true],
  ['/etc/**', '/etc/a/new\nline', true],
  ['/**', '/new\n\nline', true],
  ['/**/b', '/new\nline/b', true],
  ['/etc/*', '/etc/new\nline', true],
  ['/etc/*line', '/etc/new\nline', true],
  ['/etc/new?line', '/etc/new\nline', true],
  ['/etc/{new*,x}', '/etc/new\nline', true],
  ['/etc/[n]*', '/etc/new\r\u2028line', true],
  ['/etc/host?', '/etc/host', false],
  ['/etc/[hp]*', '/etc/passwd', true],
  ['/etc/[!hp]*', '/etc/passwd', false],
  ['/etc/{hosts,ssh/*}', '/etc/ssh/sshd_config', true],
  ['/etc/{hosts,ssh/*}', '/etc/hosts', true],
  ['/etc/{hosts,ssh/*}', '/etc/passwd', false],
  ['/etc/hosts', '/etc/hosts', true],
  ['/etc/a\\*b', '/etc/a*b', true],
  ['/etc/a\\*b', '/etc/axb', false],
  ['/etc/!x', '/etc/!x', true],
  ['/etc/caf?', '/etc/caf\xe9', true],
  ['/etc/caf\\xe9*', '/etc/caf\xe9.txt', true],
])('%s and %s: %s', (pattern, path, matches) => {
  const glob = compileGlob(pattern);
  expect(glob.matches(names(path))).toBe(matches);
  // A walk must come to what matches.
  if (matches) {
    const all = names(path);
    for (let depth = glob.below.length + 1; depth < all.length; depth += 1)
      expect(glob.enters(all.slice(0, depth))).toBe(true);
  }
});

test('a question mark is one character, not one byte', () => {
  expect(compileGlob('/caf?').matches(namesOf(Buffer.from('/café', 'utf8')))).toBe(true);
});

test('a walk does not go where nothing can match', () => {
  expect(compileGlob('/srv/*/conf').below.map(String)).toEqual(['srv']);
  expect(compileGlob('/srv/*/conf').enters(names('/srv/a'))).toBe(true);
  expect(compileGlob('/srv/*/conf').enters(names('/srv/a/b'))).toBe(false);
  expect(compileGlob('/srv/a*/**/x').enters(names('/srv/b'))).toBe(false);
  expect(compileGlob('/srv/a*/**/x').enters(names('/srv/ab/c/d'))).toBe(true);
  expect(compileGlob('/etc/hosts').below.map(String)).toEqual(['etc']);
});

test('the start of a walk keeps bytes that are no text', () => {
  const name = 'caf\xe9';
  expect(compileGlob(`/${escapeName(Buffer.from(name, 'latin1'))}/*`).below).toEqual([name]);
  expect(textOf(name)).toHaveLength(4);
});
