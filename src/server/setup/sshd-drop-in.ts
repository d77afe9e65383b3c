import type { SshdSettings } from '../../system/sshd.ts';

/**
 * What sshd must do for the user byteback, in the words of sshd_config. Forced by user, not by key: a log-in with a
 * password has no key, and would get a shell.
 */
const settings: readonly (readonly [keyword: string, value: string])[] = [
  ['AuthorizedKeysFile', '/etc/byteback/authorized_keys'],
  ['AuthorizedKeysCommand', 'none'],
  ['AuthorizedPrincipalsFile', 'none'],
  ['TrustedUserCAKeys', 'none'],
  ['PubkeyAuthentication', 'yes'],
  ['KbdInteractiveAuthentication', 'no'],
  ['HostbasedAuthentication', 'no'],
  ['AuthenticationMethods', 'any'],
  ['ForceCommand', '/usr/lib/byteback/byteback-receive'],
  ['ExposeAuthInfo', 'yes'],
  ['DisableForwarding', 'yes'],
  ['PermitTTY', 'no'],
  ['PermitUserRC', 'no'],
  ['ChrootDirectory', 'none'],
  ['Banner', 'none'],
  ['MaxSessions', '8'],
  ['ClientAliveInterval', '60'],
  ['ClientAliveCountMax', '3'],
];

/** Additions for servers whose own lists of who may log in leave the user out. */
export interface Admission {
  readonly allowUsers: boolean;
  readonly allowGroups: boolean;
}

/** The text of the drop-in. */
export function dropInText(user: string, { allowUsers, allowGroups }: Admission): string {
  const lines = [
    ...settings,
    ...(allowUsers ? [['AllowUsers', user] as const] : []),
    ...(allowGroups ? [['AllowGroups', user] as const] : []),
  ];
  return [
    '# Written by byteback-setup-server, which keeps it so. The user below can start byteback-receive, and nothing else,',
    '# however it logs in; which keys it takes is in a file that only root can write.',
    `Match User ${user}`,
    ...lines.map(([keyword, value]) => `    ${keyword} ${value}`),
    'Match all',
    '',
  ].join('\n');
}

/** The settings that are not as they must be: `forcecommand is none`. */
export function differences(effective: SshdSettings): string[] {
  return settings.flatMap(([keyword, value]) => {
    const actual = effective.get(keyword.toLowerCase())?.join(' ') ?? 'unset';
    return actual === value ? [] : [`${keyword} is ${actual}, not ${value}`];
  });
}

/** True when a pattern of sshd_config (`*` and `?`, an optional `@host`) stands for a name, whatever the host. */
function matches(pattern: string, name: string): boolean {
  const [user = ''] = pattern.split('@');
  const expression = user
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${expression}$`).test(name);
}

/** True when a list of sshd_config stands for a name; a negated match decides against it. */
function listed(patterns: readonly string[], name: string): boolean {
  if (patterns.some((pattern) => pattern.startsWith('!') && matches(pattern.slice(1), name))) return false;
  return patterns.some((pattern) => !pattern.startsWith('!') && matches(pattern, name));
}

function valuesOf(effective: SshdSettings, keyword: string): string[] {
  return (effective.get(keyword) ?? [])
    .flatMap((value) => value.split(' '))
    .filter((value) => value !== '' && value !== 'none');
}

/** How sshd's own lists stand to the user, whose group has the same name. */
export function admissionOf(
  effective: SshdSettings,
  user: string,
): Admission & { readonly deniedBy: string | undefined } {
  const allowed = valuesOf(effective, 'allowusers');
  const allowedGroups = valuesOf(effective, 'allowgroups');
  const deniedBy = listed(valuesOf(effective, 'denyusers'), user)
    ? 'DenyUsers'
    : listed(valuesOf(effective, 'denygroups'), user)
      ? 'DenyGroups'
      : undefined;
  return {
    allowUsers: allowed.length > 0 && !listed(allowed, user),
    allowGroups: allowedGroups.length > 0 && !listed(allowedGroups, user),
    deniedBy,
  };
}

/** True when a main configuration file includes the directory of the drop-in, or the drop-in itself, outside any Match. */
export function includesDropIn(mainText: string, dropIn: string): boolean {
  const directory = dropIn.slice(0, dropIn.lastIndexOf('/'));
  for (const line of mainText.split('\n')) {
    const [keyword = '', ...values] = line.trim().split(/[\s=]+/);
    if (keyword.toLowerCase() === 'match') return false;
    if (keyword.toLowerCase() !== 'include') continue;
    const paths = values
      .map((value) => value.replaceAll('"', ''))
      .map((path) => (path.startsWith('/') ? path : `/etc/ssh/${path}`));
    if (paths.includes(dropIn) || paths.includes(`${directory}/*.conf`) || paths.includes(`${directory}/*`))
      return true;
  }
  return false;
}

/** The main file with the drop-in included before everything else. */
export function withInclude(mainText: string, dropIn: string): string {
  return `# The next line was added by byteback-setup-server.\nInclude ${dropIn}\n\n${mainText}`;
}
