import { describe, expect, test } from 'vitest';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { cronFileName, cronText, planTimer, type Scheduling } from './timer.ts';

const everything: Scheduling = {
  systemd: true,
  unitInstalled: true,
  cron: true,
  programInstalled: true,
  ownDirectories: false,
};

describe('planTimer', () => {
  test.each<[string, Parameters<typeof planTimer>[0], Partial<Scheduling>, string]>([
    ['systemd where it runs', 'auto', {}, 'systemd'],
    ['cron where it does not', 'auto', { systemd: false }, 'cron'],
    ['cron when asked for', 'cron', {}, 'cron'],
    [
      'cron for one of several clients, where systemd does not run',
      'auto',
      { systemd: false, ownDirectories: true },
      'cron',
    ],
    ['nothing when asked for', 'none', {}, 'none'],
    ['nothing where there is neither', 'auto', { systemd: false, cron: false }, 'none'],
    ['nothing where byteback is not installed', 'auto', { systemd: false, programInstalled: false }, 'none'],
    ['nothing for one of several clients under systemd', 'auto', { ownDirectories: true }, 'none'],
  ])('%s', (_, choice, has, kind) => {
    expect(planTimer(choice, { ...everything, ...has }).kind).toBe(kind);
  });

  test('says why there is none, and what would do it', () => {
    const plan = planTimer('auto', { ...everything, ownDirectories: true });
    expect(plan).toMatchObject({ why: expect.stringContaining('BYTEBACK_CONFIG_DIR; --cron would do it') });
  });

  test.each<[Parameters<typeof planTimer>[0], Partial<Scheduling>]>([
    ['cron', { cron: false }],
    ['cron', { programInstalled: false }],
    ['systemd', { systemd: false }],
    ['systemd', { unitInstalled: false }],
    ['systemd', { ownDirectories: true }],
  ])('%s is refused without %o', (choice, has) => {
    expect(() => planTimer(choice, { ...everything, ...has })).toThrow(BytebackError);
  });
});

test('the crontab has the drawn minute, the directories and absolute paths', () => {
  const text = cronText('web1.example.net' as ClientName, { BYTEBACK_CONFIG_DIR: '/srv/bb' }, 137);
  expect(text).toMatch(/^17 2 \* \* \* root \/usr\/bin\/byteback-backup$/m);
  expect(text).toMatch(/^17 11 \* \* 0 root \/usr\/bin\/byteback drill >\/dev\/null$/m);
  expect(text).toContain('\nBYTEBACK_CONFIG_DIR=/srv/bb\n');
  expect(cronText('web1' as ClientName, {}, 0)).toContain('\n0 0 * * * root ');
});

test('cron reads no file with a dot in its name', () => {
  expect(cronFileName('web1.example.net' as ClientName, true)).toBe('byteback-backup-web1_example_net');
  expect(cronFileName('web1.example.net' as ClientName, false)).toBe('byteback-backup');
});
