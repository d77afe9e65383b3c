import { describe, expect, it } from 'vitest';
import { parseSshdSettings } from '../../system/sshd.ts';
import { admissionOf, differences, dropInText, includesDropIn, withInclude } from './sshd-drop-in.ts';

const dropIn = '/etc/ssh/sshd_config.d/byteback.conf';
const plain = { allowUsers: false, allowGroups: false };

describe('the drop-in', () => {
  it('forces byteback-receive on the user, however it logs in', () => {
    const text = dropInText('byteback', plain);
    expect(text).toContain('\nMatch User byteback\n');
    expect(text).toContain('\n    ForceCommand /usr/lib/byteback/byteback-receive\n');
    expect(text).toContain('\n    ExposeAuthInfo yes\n');
    expect(text).not.toContain('AllowUsers');
    expect(text.endsWith('Match all\n')).toBe(true);
  });

  it('lets the user in where sshd lets only some in', () => {
    const text = dropInText('vault', { allowUsers: true, allowGroups: true });
    expect(text).toContain('    AllowUsers vault\n    AllowGroups vault\n');
  });

  it('differs from what is in effect wherever one setting is another', () => {
    const asSshdPrintsIt = dropInText('byteback', plain)
      .split('\n')
      .filter((line) => line.startsWith('    '))
      .map((line) => line.trim().replace(/^\S+/, (keyword) => keyword.toLowerCase()))
      .join('\n');
    expect(differences(parseSshdSettings(asSshdPrintsIt))).toEqual([]);
    const changed = parseSshdSettings(
      asSshdPrintsIt.replace('permittty no', 'permittty yes').replace(/^exposeauthinfo.*$/m, ''),
    );
    expect(differences(changed)).toEqual(['ExposeAuthInfo is unset, not yes', 'PermitTTY is yes, not no']);
  });
});

describe("sshd's lists of who may log in", () => {
  it.each([
    ['none', '', false, false, undefined],
    ['another user', 'allowusers root', true, false, undefined],
    ['the user', 'allowusers root\nallowusers byteback', false, false, undefined],
    ['the user from somewhere', 'allowusers byteback@10.*', false, false, undefined],
    ['a pattern', 'allowusers byte*', false, false, undefined],
    ['a pattern of one character', 'allowusers bytebac?', false, false, undefined],
    ['a pattern with a dot that is no wildcard', 'allowusers byte.ack', true, false, undefined],
    ['all but the user', 'allowusers *\nallowusers !byteback', true, false, undefined],
    ['another group', 'allowgroups ssh', false, true, undefined],
    ['several on a line', 'allowgroups ssh byteback', false, false, undefined],
    ['a denied user', 'denyusers byteback', false, false, 'DenyUsers'],
    ['a denied pattern', 'denyusers *', false, false, 'DenyUsers'],
    ['a denied group', 'denygroups byteback', false, false, 'DenyGroups'],
  ])('%s', (_what, text, allowUsers, allowGroups, deniedBy) => {
    expect(admissionOf(parseSshdSettings(text), 'byteback')).toEqual({ allowUsers, allowGroups, deniedBy });
  });
});

describe('the main file', () => {
  it.each([
    ["Debian's", 'Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n', true],
    ['with the file itself', 'include "/etc/ssh/sshd_config.d/byteback.conf"\n', true],
    ['with a relative path', 'Include sshd_config.d/*.conf\n', true],
    ['with several', 'Include /etc/a.conf /etc/ssh/sshd_config.d/*\n', true],
    ['commented out', '#Include /etc/ssh/sshd_config.d/*.conf\n', false],
    ['with another directory', 'Include /etc/ssh/other.d/*.conf\n', false],
    ['inside a Match', 'Match User a\nInclude /etc/ssh/sshd_config.d/*.conf\n', false],
    ['empty', '', false],
  ])('%s', (_what, text, expected) => {
    expect(includesDropIn(text, dropIn)).toBe(expected);
    expect(includesDropIn(withInclude(text, dropIn), dropIn)).toBe(true);
  });
});

describe('what sshd -T prints', () => {
  it('is read with all values of a keyword, empty ones included', () => {
    const settings = parseSshdSettings('port 22\nhostkey /a\nhostkey /b\nversionaddendum \n');
    expect(settings.get('hostkey')).toEqual(['/a', '/b']);
    expect(settings.get('versionaddendum')).toEqual(['']);
  });
});
