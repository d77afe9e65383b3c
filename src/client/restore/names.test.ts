import { expect, test } from 'vitest';
import { BytebackError } from '../../errors.ts';
import { absolutePath, meanings, relativeToRoot, withPlainBackslashes } from './names.ts';

test.each([
  ['/etc/hosts', '/', '/etc/hosts'],
  ['hosts', '/etc', '/etc/hosts'],
  ['../etc/./hosts', '/srv', '/etc/hosts'],
  ['.', '/srv/a', '/srv/a'],
  ['..', '/', '/'],
  ['/srv//a/', '/', '/srv/a'],
  ['-x', '/srv', '/srv/-x'],
  ['a b', '/größe', '/größe/a b'],
])('%s in %s is %s', (typed, workingDirectory, expected) => {
  expect(absolutePath(typed, workingDirectory).toString()).toBe(expected);
});

test('a name that is no text is written as listings print it', () => {
  expect(absolutePath('caf\\xe9\\x0a', '/srv')).toEqual(Buffer.from('/srv/caf\xe9\n', 'latin1'));
});

test.each(['', 'a\\x00b'])('refuses %j', (typed) => {
  expect(() => absolutePath(typed, '/')).toThrow(BytebackError);
});

test.each([
  ['hosts', ['/srv/hosts']],
  // The name itself comes first; then what it may be the escaped form of.
  ['mnt-my\\x2ddisk.mount', ['/srv/mnt-my\\x2ddisk.mount', '/srv/mnt-my-disk.mount']],
  ['a\\\\b', ['/srv/a\\\\b', '/srv/a\\b']],
  ['a\\b', ['/srv/a\\b']],
  ['\\x2e\\x2e/x', ['/srv/\\x2e\\x2e/x', '/x']],
  ['a\\x00b', ['/srv/a\\x00b']],
  ['a\\x2fb', ['/srv/a\\x2fb', '/srv/a/b']],
])('%j may mean %j', (typed, expected) => {
  expect(meanings(typed, '/srv').map(String)).toEqual(expected);
});

test('a pattern in which a backslash stands for itself', () => {
  expect(withPlainBackslashes(Buffer.from('/a\\x2d*')).toString()).toBe('/a\\\\x2d*');
});

test('relative to the root of a snapshot', () => {
  expect(relativeToRoot(Buffer.from('/srv/a')).toString()).toBe('srv/a');
  expect(relativeToRoot(Buffer.from('/')).toString()).toBe('./');
});
