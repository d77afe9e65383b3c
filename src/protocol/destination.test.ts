import { describe, expect, test } from 'vitest';
import { BytebackError } from '../errors.ts';
import { parseDestination, rsyncHost, sshHost } from './destination.ts';

describe('parseDestination', () => {
  test.each([
    ['byteback@backup.example.net:', 'byteback', 'backup.example.net', ''],
    ['byteback@vault:', 'byteback', 'vault', ''],
    ['byteback@my_alias:', 'byteback', 'my_alias', ''],
    ['byteback@127.0.0.1:', 'byteback', '127.0.0.1', ''],
    ['byteback@[::1]:', 'byteback', '::1', ''],
    ['byteback@[fe80::1%eth0]:', 'byteback', 'fe80::1%eth0', ''],
    ['by.te-back_2@Vault:/srv/store', 'by.te-back_2', 'Vault', '/srv/store'],
  ])('%s', (text, user, host, path) => {
    expect(parseDestination(text)).toEqual({ text, user, host, path });
  });

  test.each([
    ['', 'no user'],
    ['vault:', 'no user'],
    ['@vault:', 'user before the @ is missing'],
    ['-oProxyCommand=x@vault:', 'no user name'],
    ['byteback@-oProxyCommand=x:', 'no host name'],
    ['byteback@:', 'host is missing'],
    ['byteback@vault', 'colon after the host is missing'],
    ['byteback@a b:', 'no host name'],
    ['byteback@a;b:', 'no host name'],
    ['byteback@vault\n:', 'no host name'],
    ['byteback@vault-:', 'no host name'],
    ['byteback@me@vault:', 'no host name'],
    ['byteback@::1:', 'needs brackets'],
    ['byteback@[::1:', 'not closed'],
    ['byteback@[vault]:', 'no IPv6 address'],
    ['byteback@[::1]', 'colon after the host is missing'],
    ['byteback@vault:/a b', 'path after the colon'],
    ['byteback@vault:-x', 'path after the colon'],
    ['byteback@vault::module', 'path after the colon'],
    ['ssh://byteback@vault', 'no user name'],
  ])('refuses %j', (text, why) => {
    let thrown: unknown;
    try {
      parseDestination(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(BytebackError);
    expect((thrown as BytebackError).exit).toBe('usage');
    expect((thrown as BytebackError).explanation.why).toContain(why);
    expect((thrown as BytebackError).explanation.fix).toContain('user@host:');
  });

  test('brackets an IPv6 address for rsync only', () => {
    const destination = parseDestination('byteback@[::1]:');
    expect([sshHost(destination), rsyncHost(destination)]).toEqual(['byteback@::1', 'byteback@[::1]']);
    expect(rsyncHost(parseDestination('byteback@vault:'))).toBe('byteback@vault');
  });
});
