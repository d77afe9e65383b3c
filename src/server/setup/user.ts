import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { findUser, groupsOf } from '../../system/accounts.ts';
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

function notOurs(name: string, why: string): BytebackError {
  return new BytebackError('refused', {
    what: `the user ${name} exists, and is not byteback's`,
    why,
    fix: `give another name with --user, or remove the user if nobody needs it: userdel ${name}`,
  });
}

async function checkUser(name: string): Promise<string | undefined> {
  const user = await findUser(name);
  if (user === undefined) return `make the user ${name}, without a password, its home root's and empty`;
  if (user.uid === 0) throw notOurs(name, 'it is root');
  if (user.home !== home || user.shell !== shell)
    throw notOurs(name, `its home is ${user.home}, its shell ${user.shell}`);
  const others = (await groupsOf(name)).filter((group) => group !== name);
  if (others.length > 0) throw notOurs(name, `it is in other groups than its own: ${others.join(', ')}`);
  return (await passwordField(name))?.startsWith('!')
    ? `unlock the user ${name} for keys (it has no password)`
    : undefined;
}

async function makeUser(name: string): Promise<void> {
  if ((await findUser(name)) === undefined) {
    const options = ['--system', '--user-group', '--no-create-home', '--home-dir', home, '--shell', shell];
    await run(['useradd', ...options, '--comment', 'byteback', '--password', '*', '--', name]);
  } else {
    await run(['usermod', '--password', '*', '--', name]);
  }
}

/** The dedicated unprivileged user, and its home that it cannot write. */
export function userStep(name: string): Step {
  return {
    title: 'user',
    check: () => checkUser(name),
    act: () => makeUser(name),
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
