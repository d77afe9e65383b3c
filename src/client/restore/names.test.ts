import { expect, test } from 'vitest';
import { BytebackError } from '../../errors.ts';
import { absolutePath, relativeToRoot } from './names.ts';

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

test('relative to the root of a snapshot', () => {
  expect(relativeToRoot(Buffer.from('/srv/a')).toString()).toBe('srv/a');
  expect(relativeToRoot(Buffer.from('/')).toString()).toBe('./');
});
