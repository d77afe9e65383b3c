import { describe, expect, test } from 'vitest';
import { clientPaths } from '../../config/paths.ts';
import { parseDestination } from '../../protocol/destination.ts';
import { isPlainPath, mergeSshConfig, serverBlock } from './ssh-config.ts';

const paths = clientPaths({});
const block = serverBlock(
  parseDestination('byteback@vault:'),
  [
    ['HostName', '192.0.2.7'],
    ['Port', '2222'],
  ],
  paths,
);
const first = mergeSshConfig(undefined, [block]);

describe('mergeSshConfig', () => {
  test('makes the whole file at the first time', () => {
    expect(first.text).toContain('Host vault\n    HostName 192.0.2.7\n    Port 2222\n    User byteback\n');
    for (const line of [
      'UserKnownHostsFile /etc/byteback/known_hosts',
      'StrictHostKeyChecking yes',
      'IdentityFile /etc/byteback/key',
      'IdentitiesOnly yes',
      'BatchMode yes',
      'Compression no',
    ]) {
      expect(first.text).toContain(`    ${line}\n`);
    }
  });

  test('changes nothing at the second time', () => {
    expect(mergeSshConfig(first.text, [block])).toEqual({ text: first.text, changes: [] });
  });

  test('what an admin added or changed stays', () => {
    const edited = `# ours\n${first.text.replace('Port 2222', 'Port 2022\n    ProxyJump bastion').replace('ConnectTimeout 30', 'ConnectTimeout 5')}\n# all others\nHost *\n  LogLevel DEBUG\n`;
    expect(mergeSshConfig(edited, [block])).toEqual({ text: edited, changes: [] });
  });

  test('what is missing comes back, at the end of its block', () => {
    const edited = `${first.text.replace('    BatchMode yes\n', '')}\n# all others\nHost *\n  LogLevel DEBUG\n`;
    const merged = mergeSshConfig(edited, [block]);
    expect(merged.changes).toEqual(['adds BatchMode yes to the host vault']);
    expect(merged.text).toMatch(/Ciphers [^\n]*\n {4}BatchMode yes\n\n# all others\nHost \*\n {2}LogLevel DEBUG\n$/);
  });

  test('only what byteback needs, or what was asked for now, is put right', () => {
    const edited = first.text.replace('User byteback', 'User somebody').replace('Port 2222', 'Port 22');
    expect(mergeSshConfig(edited, [block]).changes).toEqual(['changes User of the host vault to byteback']);
    expect(mergeSshConfig(edited, [block], ['Port']).text).toBe(first.text);
  });

  test('another destination gets a block of its own, before one that matches every host', () => {
    const edited = `${first.text}\nHost *\n  LogLevel DEBUG\n`;
    const other = serverBlock(parseDestination('byteback@[::1]:'), [], paths);
    const merged = mergeSshConfig(edited, [other]);
    expect(merged.changes).toEqual(['adds the host ::1']);
    expect(merged.text.indexOf('Host ::1')).toBeLessThan(merged.text.indexOf('Host *'));
    expect(merged.text).toContain('Host vault');
  });

  test("an admin's ProxyCommand is not joined by our ProxyJump", () => {
    const jump = serverBlock(parseDestination('byteback@vault:'), [['ProxyJump', 'bastion']], paths);
    const edited = first.text.replace('Port 2222', 'ProxyCommand nc %h %p');
    expect(mergeSshConfig(edited, [jump]).changes).toEqual([]);
  });
});

test.each([
  ['/etc/byteback', true],
  ['/tmp/x.y/a-b', true],
  ['relative', false],
  ['/with space', false],
  ['/with%token', false],
  ['/with"quote', false],
])('isPlainPath(%s) is %s', (path, plain) => {
  expect(isPlainPath(path)).toBe(plain);
});
