import { expect, test } from 'vitest';
import { sshFailureKind } from './ssh.ts';

test.each([
  ['byteback@vault: Permission denied (publickey).', 'permission'],
  ['byteback@vault: Permission denied (publickey,password,keyboard-interactive).\r', 'permission'],
  ['Permission denied, please try again.', 'permission'],
  ['Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures', 'permission'],
  ['@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @', 'permission'],
  ['@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @', 'hostKeyChanged'],
  ['Offending ED25519 key in /etc/byteback/known_hosts:1', 'hostKeyChanged'],
  ['No ED25519 host key is known for vault and you have requested strict checking.', 'hostKeyUnknown'],
  ['Host key verification failed.', 'hostKeyUnknown'],
  ['Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: x', 'hostKeyUnknown'],
  ['/etc/byteback/ssh_config: line 3: Bad configuration option: foo', 'configuration'],
  ['/etc/byteback/ssh_config: terminating, 1 bad configuration options', 'configuration'],
  ["Can't open user config file /x: No such file or directory", 'configuration'],
  ['Bad owner or permissions on /etc/byteback/ssh_config', 'configuration'],
  ['ssh: connect to host vault port 22: Connection refused', 'unreachable'],
  ['', 'unreachable'],
])('%s', (line, kind) => {
  expect(sshFailureKind(`a banner\n${line}\n`)).toBe(kind);
});

// What the other side prints comes on the same stream.
test.each([
  'rsync: [receiver] mkstemp "/data/x" failed: Permission denied (13)',
  'Welcome. Permission denied (publickey). is what strangers read.',
  'byteback: /srv/Host key verification failed. cannot be read',
  'file has vanished: "/srv/Offending ED25519 key in x:1"',
  '/srv/Bad configuration option',
])('is no word of ssh: %s', (line) => {
  expect(sshFailureKind(`${line}\nclient_loop: send disconnect: Broken pipe\n`)).toBe('unreachable');
});
