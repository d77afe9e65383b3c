import { expect, test } from 'vitest';
import { fingerprintOf, kindOf, parseHostKey, pinnedKeys, withPinnedKey } from './host-key.ts';

const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIKkn6W56h75Oo7oMMp3o0ZamWhBekF23ppzCO5AAfqIq';
const key = { type: 'ssh-ed25519', blob };

test('shows a key as ssh does', () => {
  // What ssh-keygen -lf prints for it.
  expect(fingerprintOf(key)).toBe('SHA256:dSoAUbwAe0byVeBw2cg7+Ud05TiCz1g0YJrPRGbY/vk');
  expect(kindOf(key)).toBe('ED25519');
  expect(kindOf({ type: 'ecdsa-sha2-nistp256', blob })).toBe('ECDSA');
});

test('finds the keys of a host, and replaces only them', () => {
  const text = `# mine\nother ssh-rsa AAAA\nvault,192.0.2.1 ssh-ed25519 ${blob}\n\n`;
  expect(pinnedKeys(text, 'vault')).toEqual([key]);
  expect(pinnedKeys(text, '192.0.2.1')).toEqual([key]);
  expect(pinnedKeys(text, 'vault2')).toEqual([]);
  expect(withPinnedKey(text, 'vault', { type: 'ssh-ed25519', blob: 'NEW' })).toBe(
    '# mine\nother ssh-rsa AAAA\nvault ssh-ed25519 NEW\n',
  );
  expect(withPinnedKey('', '::1', key)).toBe(`::1 ssh-ed25519 ${blob}\n`);
});

test('reads a line of a key', () => {
  expect(parseHostKey(`ssh-ed25519 ${blob} comment`)).toEqual(key);
  expect(parseHostKey('ssh-ed25519')).toBeUndefined();
});
