import { readFile } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { findUser } from '../../system/accounts.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { findProgram } from '../../system/programs.ts';
import { ProgramError, run } from '../../system/run.ts';
import type { Step } from './step.ts';

const profilePath = '/etc/apparmor.d/byteback-bwrap';

/**
 * AppArmor's leave for bubblewrap to make user namespaces, and nothing more or less: otherwise it runs as without a
 * profile. Ubuntu 24.04 refuses them to every program that has no such profile.
 */
export const profileText = `# Written by byteback-setup-server: byteback's sandbox is built by bubblewrap, which needs user namespaces.
abi <abi/4.0>,
include <tunables/global>

profile byteback-bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
}
`;

/** What decides whether an unprivileged user may make user namespaces; undefined where the kernel has no such switch. */
export interface NamespaceSwitches {
  /** user.max_user_namespaces */
  readonly maxUserNamespaces: string | undefined;
  /** kernel.unprivileged_userns_clone, of Debian's older kernels. */
  readonly unprivilegedClone: string | undefined;
  /** kernel.apparmor_restrict_unprivileged_userns */
  readonly appArmorRestricts: string | undefined;
}

/** What to do about a machine on which bubblewrap cannot build its sandbox. */
export type Remedy =
  | { readonly kind: 'profile' }
  | { readonly kind: 'person'; readonly why: string; readonly fix: string };

/** Decides by the kernel's switches; `message` is bubblewrap's own. */
export function remedyFor(switches: NamespaceSwitches, message: string): Remedy {
  if (switches.maxUserNamespaces === '0') return bySysctl('user.max_user_namespaces', '10000');
  if (switches.unprivilegedClone === '0') return bySysctl('kernel.unprivileged_userns_clone', '1');
  if (switches.appArmorRestricts === '1') return { kind: 'profile' };
  return {
    kind: 'person',
    why: message === '' ? 'bubblewrap gives no reason' : message,
    fix: 'let unprivileged users make user namespaces; in a container, allow nesting',
  };
}

function bySysctl(name: string, value: string): Remedy {
  return {
    kind: 'person',
    why: `the kernel is told not to let users make user namespaces (${name} = 0)`,
    fix: `run: echo '${name} = ${value}' > /etc/sysctl.d/byteback.conf; sysctl --system; then byteback-setup-server again`,
  };
}

async function readSwitch(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Somebody without rights, for a try before the user is made. */
const nobody = { uid: 65534, gid: 65534 };

/** Why bubblewrap cannot build a sandbox for the user, in its own words; undefined when it can. */
async function whyNoNamespace(user: string): Promise<string | undefined> {
  const account = (await findUser(user)) ?? nobody;
  const argv = ['bwrap', '--unshare-all', '--unshare-user', '--ro-bind', '/', '/', '--', '/usr/bin/true'] as const;
  try {
    await run([...argv], { account: { uid: account.uid, gid: account.gid }, cwd: '/' });
    return undefined;
  } catch (error) {
    if (!(error instanceof ProgramError) || error.notFound) throw error;
    return error.stderr.trim();
  }
}

async function remedy(message: string): Promise<Remedy> {
  return remedyFor(
    {
      maxUserNamespaces: await readSwitch('/proc/sys/user/max_user_namespaces'),
      unprivilegedClone: await readSwitch('/proc/sys/kernel/unprivileged_userns_clone'),
      appArmorRestricts: await readSwitch('/proc/sys/kernel/apparmor_restrict_unprivileged_userns'),
    },
    message,
  );
}

/** Bubblewrap can build the sandbox as the unprivileged user; where AppArmor forbids it, a profile lets it. */
export function namespacesStep(user: string): Step {
  return {
    title: 'namespaces',
    check: async () => {
      const message = await whyNoNamespace(user);
      if (message === undefined) return undefined;
      const needed = await remedy(message);
      const hasParser = (await findProgram('apparmor_parser')) !== undefined;
      if (needed.kind === 'profile' && hasParser)
        return `let bubblewrap make user namespaces, by the AppArmor profile ${profilePath}`;
      throw new BytebackError('refused', {
        what: 'the sandbox cannot be built, and nothing runs without it',
        why:
          needed.kind === 'person'
            ? needed.why
            : 'AppArmor forbids it, and apparmor_parser is not installed to allow it',
        fix: needed.kind === 'person' ? needed.fix : 'run: apt-get install apparmor; then byteback-setup-server again',
      });
    },
    act: async () => {
      await writeFileAtomically(profilePath, profileText, { mode: 0o644, uid: 0, gid: 0 });
      await run(['apparmor_parser', '--replace', '--write-cache', '--', profilePath]);
    },
  };
}
