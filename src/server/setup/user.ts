import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { findUser, groupsOf, processesOf, type UserAccount } from '../../system/accounts.ts';
import { isMissing } from '../../system/files.ts';
import { run } from '../../system/run.ts';
import type { Step } from './step.ts';
import { requireTrusted } from './trusted-path.ts';

const home = join(serverPaths.libDir, 'home');
const shell = '/bin/sh';

/**
 * The password field of a user. `*` is a password that nothing matches, yet no lock: sshd without PAM refuses even keys
 * to an account whose field begins with `!`.
 */
async function passwordField(name: string): Promise<string | undefined> {
  const shadow = await readFile('/etc/shadow', 'utf8');
  return shadow
    .split('\n')
    .map((line) => line.split(':'))
    .find(([user]) => user === name)?.[1];
}

function notOurs(name: string, why: string, fix?: string): BytebackError {
  return new BytebackError('refused', {
    what: `the user ${name} exists, and is not byteback's`,
    why,
    fix: fix ?? `give another name with --user, or remove the user if nobody needs it: userdel ${name}`,
  });
}

/** The user of an original server: the store is its home. Its name, its number and what it owns stay; all else becomes ours. */
async function takeoverOf(user: UserAccount, store: string): Promise<string> {
  const busy = await processesOf(user.uid);
  if (busy.length > 0) {
    throw new BytebackError('refused', {
      what: `the user ${user.name} of the original byteback is still at work`,
      why: `its processes: ${busy.slice(0, 5).join(', ')}${busy.length > 5 ? ' and more' : ''}`,
      fix: `wait until its backups have ended, or end them: pkill -u ${user.name}; then run this again`,
    });
  }
  return `take over the original's user ${user.name}: home ${home} instead of ${store}, shell ${shell} instead of ${user.shell}, a group of its own, no password`;
}

/** Groups that a user of ours must not be in; that of nobody is what adduser gives a system user, and goes. */
async function strangeGroups(name: string): Promise<string[]> {
  return (await groupsOf(name)).filter((group) => group !== name && group !== 'nogroup');
}

async function checkUser(name: string, store: string): Promise<string | undefined> {
  const user = await findUser(name);
  if (user === undefined) return `make the user ${name}, without a password, its home root's and empty`;
  if (user.uid === 0) throw notOurs(name, 'it is root');
  const others = await strangeGroups(name);
  if (others.length > 0)
    throw notOurs(
      name,
      `it is in other groups than its own: ${others.join(', ')}`,
      `take it out of them: ${others.map((group) => `gpasswd -d ${name} ${group}`).join('; ')}`,
    );
  if (user.home === store) return takeoverOf(user, store);
  if (user.home !== home || user.shell !== shell)
    throw notOurs(name, `its home is ${user.home}, its shell ${user.shell}`);
  if ((await groupsOf(name)).includes('nogroup')) return `give ${name} a group of its own`;
  return (await passwordField(name))?.startsWith('!')
    ? `unlock the user ${name} for keys (it has no password)`
    : undefined;
}

async function makeUser(name: string, store: string): Promise<void> {
  const user = await findUser(name);
  if (user === undefined) {
    const options = ['--system', '--user-group', '--no-create-home', '--home-dir', home, '--shell', shell];
    await run(['useradd', ...options, '--comment', 'byteback', '--password', '*', '--', name]);
    return;
  }
  // The home comes first: a change of the group gives the new one everything below the home, and that was the store.
  if (user.home === store) await run(['usermod', '--home', home, '--shell', shell, '--', name]);
  if ((await groupsOf(name)).includes('nogroup')) {
    // 9: it is there.
    await run(['groupadd', '--system', '--', name], { accept: [0, 9] });
    await run(['usermod', '--gid', name, '--groups', '', '--', name]);
  }
  if (user.home === store || (await passwordField(name))?.startsWith('!'))
    await run(['usermod', '--password', '*', '--', name]);
}

/** The dedicated unprivileged user, and its home that it cannot write. */
export function userStep(name: string, store: string): Step {
  return {
    title: 'user',
    check: () => checkUser(name, store),
    act: () => makeUser(name, store),
  };
}

/** What sshd and sudo start must be there and nobody's but root's: sudo runs it as root. */
export function installationStep(): Step {
  const programs = ['node', 'launch', 'byteback-receive', 'byteback-snapshot', 'byteback-register'];
  const files = [
    ...programs,
    'cli.mjs',
    'receive.mjs',
    'snapshot.mjs',
    'register.mjs',
    'jailed.mjs',
    'templates/sudoers',
  ];
  return {
    title: 'installation',
    check: async () => {
      for (const name of files) {
        const path = join(serverPaths.libDir, name);
        try {
          await requireTrusted(path);
        } catch (error) {
          if (!isMissing(error)) throw error;
          throw new BytebackError('usage', {
            what: `${path} is missing`,
            why: 'sshd and sudo start byteback by fixed paths, which the packages have',
            fix: 'install the packages: apt install ./byteback_*.deb ./byteback-runtime_*.deb',
          });
        }
      }
      try {
        await requireTrusted(home);
      } catch (error) {
        if (isMissing(error)) return `make ${home}, root's and empty`;
        throw error;
      }
      return undefined;
    },
    act: async () => {
      await mkdir(home, { mode: 0o755 });
    },
  };
}
