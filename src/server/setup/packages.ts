import { BytebackError } from '../../errors.ts';
import { findProgram } from '../../system/programs.ts';
import { ProgramError, run } from '../../system/run.ts';
import type { Step } from './step.ts';

/** The programs that a server needs, and Debian's packages that have them. */
const needed: Readonly<Record<string, readonly string[]>> = {
  rsync: ['rsync'],
  'btrfs-progs': ['btrfs', 'mkfs.btrfs'],
  bubblewrap: ['bwrap'],
  sudo: ['sudo', 'visudo'],
  'openssh-server': ['sshd'],
  'openssh-client': ['ssh', 'ssh-keygen'],
  passwd: ['useradd', 'usermod'],
  'util-linux': ['flock', 'setpriv', 'blkid', 'wipefs', 'lsblk', 'findmnt', 'blockdev'],
  mount: ['mount', 'umount', 'losetup'],
};

/** The packages that have to be installed, in Debian's names. */
async function missingPackages(): Promise<string[]> {
  const missing: string[] = [];
  for (const [name, programs] of Object.entries(needed)) {
    const found = await Promise.all(programs.map(findProgram));
    if (found.includes(undefined)) missing.push(name);
  }
  return missing;
}

async function install(packages: readonly string[]): Promise<void> {
  const argv = ['apt-get', 'install', '--yes', '--no-install-recommends', '--', ...packages] as [string, ...string[]];
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: 1_800_000 };
  try {
    await run(argv, options);
  } catch (error) {
    if (!(error instanceof ProgramError) || error.exitCodeOfProgram === undefined) throw error;
    // A machine that is new, or old, does not know where the packages lie.
    await run(['apt-get', 'update'], options);
    await run(argv, options);
  }
}

/** Installs what is missing, if the person agrees. */
export function packagesStep(confirm: (question: string) => Promise<boolean>): Step {
  return {
    title: 'packages',
    check: async () => {
      const missing = await missingPackages();
      return missing.length === 0 ? undefined : `install ${missing.join(', ')}`;
    },
    act: async () => {
      const missing = await missingPackages();
      const command = `apt-get install ${missing.join(' ')}`;
      if ((await findProgram('apt-get')) === undefined) {
        throw new BytebackError('usage', {
          what: `programs are missing: ${missing.join(', ')} (Debian's names)`,
          why: 'they can be installed for you only where there is apt-get',
          fix: 'install them, then run byteback-setup-server again',
        });
      }
      if (!(await confirm(`Install them now (${command})?`))) {
        throw new BytebackError('usage', {
          what: `programs are missing: ${missing.join(', ')}`,
          fix: `run: ${command}`,
        });
      }
      await install(missing);
    },
  };
}
