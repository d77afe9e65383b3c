import { expect, test } from 'vitest';
import { isOlder } from './versions.ts';

test.each([
  ['3.2.7', '3.5.0', true],
  ['3.5.0', '3.5.0', false],
  ['3.5', '3.5.0', false],
  ['3.10.0', '3.9.9', false],
  ['3.9', '3.10', true],
  ['9.2', '8.2', false],
  ['8', '8.2', true],
])('%s is older than %s: %s', (version, than, older) => {
  expect(isOlder(version, than)).toBe(older);
});
