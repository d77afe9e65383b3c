import { describe, expect, test } from 'vitest';
import { changedClientToml, newClientToml } from './client-toml.ts';

test('a new file has the destination, and the sources that were given', () => {
  expect(newClientToml('byteback@vault:', [])).toMatch(/^#.*\ndestination = "byteback@vault:"\n$/);
  expect(newClientToml('byteback@vault:', ['/etc', '/srv/a "b"'])).toContain('source = ["/etc", "/srv/a \\"b\\""]\n');
});

describe('changedClientToml', () => {
  const text =
    '# mine\nsource = [\n  "/etc", # one\n  "/srv",\n]\ndestination = "byteback@old:" # there\nretry_number = 3\n';

  test('changes the destination only', () => {
    expect(changedClientToml(text, { destination: 'byteback@new:' })).toBe(
      '# mine\nsource = [\n  "/etc", # one\n  "/srv",\n]\ndestination = "byteback@new:"\nretry_number = 3\n',
    );
  });

  test('replaces a value of several lines', () => {
    expect(changedClientToml(text, { source: ['/home'] })).toBe(
      '# mine\nsource = ["/home"]\ndestination = "byteback@old:" # there\nretry_number = 3\n',
    );
  });

  test('adds what is missing', () => {
    expect(changedClientToml('retry_number = 3\n', { destination: 'byteback@new:' })).toBe(
      'destination = "byteback@new:"\nretry_number = 3\n',
    );
  });
});
