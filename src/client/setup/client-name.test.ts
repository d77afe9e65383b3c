import { describe, expect, test } from 'vitest';
import { BytebackError } from '../../errors.ts';
import { chooseClientName } from './client-name.ts';

describe('chooseClientName', () => {
  test.each([
    ['web1', 'web1', false],
    ['web1.example.net', 'web1.example.net', false],
    ['Web1.Example.NET', 'web1.example.net', true],
    ['my_laptop', 'my-laptop', true],
    ['_odd_.example_', 'odd.example', true],
    ['web1.example.net.', 'web1.example.net', true],
  ])('%s becomes %s', (from, name, mapped) => {
    expect(chooseClientName(from, 'unused')).toEqual({ name, from, mapped });
    expect(chooseClientName(undefined, from)).toEqual({ name, from, mapped });
  });

  test.each([
    '',
    'localhost',
    'current',
    '10.0.0.7',
    'größe',
    'a b',
    'a..b',
    '../etc',
    '-',
    `${'a'.repeat(64)}`,
    '(none)',
    'x/y',
  ])('refuses %j', (from) => {
    expect(() => chooseClientName(from, 'web1')).toThrow(BytebackError);
    expect(() => chooseClientName(undefined, from)).toThrow(BytebackError);
  });

  test('two names that differ only in what is mapped become one: the server then refuses the second key', () => {
    expect(chooseClientName('web_1', '').name).toBe(chooseClientName('WEB-1', '').name);
  });
});
