import { expect, test } from 'vitest';
import { jumpHosts, parseSettings, routeOf } from './ssh-route.ts';

test('carries over what leads to a host, and nothing that ssh does anyway', () => {
  const settings = parseSettings(
    [
      ...['host vault', 'user byteback', 'hostname 192.0.2.7', 'port 2222', 'addressfamily any', 'bindaddress none'],
      ...['proxyjump me@bastion:2022', 'identityfile ~/.ssh/one', 'identityfile ~/.ssh/two', 'compression yes'],
    ].join('\n'),
  );
  expect(routeOf(settings, 'vault')).toEqual([
    ['HostName', '192.0.2.7'],
    ['Port', '2222'],
    ['ProxyJump', 'me@bastion:2022'],
  ]);
  expect(settings.get('identityfile')).toEqual(['~/.ssh/one', '~/.ssh/two']);
});

test('without an alias there is nothing to carry over', () => {
  const settings = parseSettings('hostname backup.example.net\nport 22\nproxyusefdpass no\nproxycommand none');
  expect(routeOf(settings, 'Backup.Example.NET')).toEqual([]);
});

test.each([
  ['none', []],
  ['bastion', [{ host: 'bastion' }]],
  ['me@bastion:2022', [{ user: 'me', host: 'bastion' }]],
  ['ssh://me@bastion:2022', [{ user: 'me', host: 'bastion' }]],
  ['one,two@[::1]:22', [{ host: 'one' }, { user: 'two', host: '::1' }]],
])('the hosts of ProxyJump %s', (value, hosts) => {
  expect(jumpHosts(value)).toEqual(hosts);
});
