import { describe, expect, it } from 'vitest';
import { parseServerConfig, serverDefaults } from '../../config/server-config.ts';
import { labelOf, serverTomlText } from './configuration.ts';
import { sudoersText } from './sudoers.ts';

describe('the first server.toml', () => {
  it('says what the defaults are, and nothing else', () => {
    const text = serverTomlText('/srv/store', 'vault');
    const config = parseServerConfig('server.toml', text);
    expect(config).toMatchObject({ ...serverDefaults, store: '/srv/store', user: 'vault' });
  });

  it('shows every key as it would have to be written', () => {
    const text = serverTomlText('/byteback', 'byteback').replaceAll(/^# (?=[a-z_]+ = |\[[a-z]+\]$|\[[a-z]+\] )/gm, '');
    const config = parseServerConfig('server.toml', text);
    expect(config.prune).toEqual(serverDefaults.prune);
    expect(config).toMatchObject(serverDefaults);
  });
});

describe('the label of an administrative key', () => {
  it.each([
    ['/root/.ssh/id_ed25519.pub', 'id-ed25519'],
    ['/tmp/Ops Team.pub', 'ops-team'],
    ['admin', 'admin'],
    ['ключ.pub', 'admin'],
    [`${'a'.repeat(100)}.pub`, 'a'.repeat(60)],
    ['-rf.pub', 'rf'],
    ['a:b client:x.pub', 'a-b-client-x'],
  ])('%s is %s', (file, label) => {
    expect(labelOf(file)).toBe(label);
  });
});

describe('the rule for sudo', () => {
  it('names the user everywhere', () => {
    expect(sudoersText('Defaults:@USER@ x\n@USER@ ALL=(root)\n', 'vault')).toBe('Defaults:vault x\nvault ALL=(root)\n');
  });

  it('is not made from a file that is no template', () => {
    expect(() => sudoersText('byteback ALL=(ALL) ALL\n', 'vault')).toThrow('is damaged');
  });
});
