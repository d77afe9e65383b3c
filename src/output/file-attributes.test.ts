import { expect, test } from 'vitest';
import { modeInWords, ownerInWords } from './file-attributes.ts';

test.each([
  ['file', 0o644, '-rw-r--r--'],
  ['directory', 0o1777, 'drwxrwxrwt'],
  ['file', 0o4755, '-rwsr-xr-x'],
  ['file', 0o6644, '-rwSr-Sr--'],
  ['directory', 0o1770, 'drwxrwx--T'],
  ['link', 0o777, 'lrwxrwxrwx'],
  ['fifo', 0o000, 'p---------'],
  ['unknown', null, '??????????'],
])('%s %o is %s', (type, mode, expected) => {
  expect(modeInWords(type, mode)).toBe(expected);
});

test('owners by name where there is one', () => {
  const names = { users: new Map([[0, 'root']]), groups: new Map([[33, 'www-data']]) };
  expect(ownerInWords(0, 33, names)).toBe('root:www-data');
  expect(ownerInWords(1005, null, names)).toBe('1005:?');
});
