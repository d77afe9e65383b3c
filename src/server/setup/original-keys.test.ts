import { describe, expect, it } from 'vitest';
import { originalsToml, parseOriginalKeys } from './original-keys.ts';

const blob = (fill: string) =>
  Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32, fill),
  ]).toString('base64');
const line = (name: string, fill: string, from = 'from="192.0.2.1",') =>
  `command="byteback-receive",${from}environment="BYTEBACK_HOST=${name}" ssh-ed25519 ${blob(fill)} byteback client key`;

describe('keys of the original', () => {
  it('takes over each client that has one key', () => {
    const { clients, left } = parseOriginalKeys([line('web1', 'a'), '', '# x', line('web2', 'b', '')].join('\n'));
    expect(clients.map(({ name, from }) => [name, from])).toEqual([
      ['web1', '192.0.2.1'],
      ['web2', undefined],
    ]);
    expect(left).toEqual([]);
    expect(originalsToml({ clients, left })).toContain('[client."web1"]\nfrom = ["192.0.2.1"]');
  });

  it.each([
    ['a name with two keys', [line('web1', 'a'), line('web1', 'b')], [1, 2]],
    ['a key with two names', [line('web1', 'a'), line('web2', 'a')], [1, 2]],
    ['an administrative key', [`ssh-ed25519 ${blob('a')} admin`], [1]],
    ['another command', [line('web1', 'a').replace('byteback-receive', 'sh')], [1]],
    ['a name that no client can have', [line('../web1', 'a')], [1]],
    ['a reserved name', [line('clients', 'a')], [1]],
    ['addresses that are a pattern', [line('web1', 'a', 'from="192.0.2.*",')], [1]],
    ['no name', [line('web1', 'a').replace('environment="BYTEBACK_HOST=web1" ', 'no-pty ')], [1]],
    ['a key that is none', [line('web1', 'a').replace(blob('a'), 'AAAA')], [1]],
    ['a line that is made to take long', [`${'a'.repeat(100_000)}!`], [1]],
    ['garbage', ['\u0000\u0001 garbage'], [1]],
  ])('leaves %s', (_, lines, left) => {
    const parsed = parseOriginalKeys(lines.join('\n'));
    expect(parsed.clients).toEqual([]);
    expect(parsed.left.map((one) => one.line)).toEqual(left);
  });
});
