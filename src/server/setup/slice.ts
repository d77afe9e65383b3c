import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findUser } from '../../system/accounts.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { run } from '../../system/run.ts';
import { isSystemdRunning } from '../../system/systemd.ts';
import type { Step } from './step.ts';

/**
 * What all receivers together may take of the machine. sshd's sessions of the user are put into user-UID.slice by
 * pam_systemd, so that limits of that slice hold for every receiver, whatever it starts.
 */
export const sliceText = `# Written by byteback-setup-server: what all of byteback's receivers together may take of this machine. They wait rather
# than push everything else out of memory; what an admin sets in a later file here goes first.
[Slice]
MemoryHigh=50%
MemoryMax=75%
TasksMax=4096
CPUWeight=50
IOWeight=50
`;

/** The drop-in of a user's slice. @param uid of the user byteback. */
export function slicePath(uid: number): string {
  return `/etc/systemd/system/user-${uid}.slice.d/byteback.conf`;
}

/** Limits for the receivers. Undefined where systemd does not run: nothing there could hold them. */
export function sliceStep(user: string): Step | undefined {
  if (!isSystemdRunning()) return undefined;
  const pathOf = async () => {
    const account = await findUser(user);
    return account === undefined ? undefined : slicePath(account.uid);
  };
  return {
    title: 'limits',
    check: async () => {
      const path = await pathOf();
      // The user is made by an earlier step; what comes of it is looked at again then.
      if (path === undefined) return 'limit what receivers take of this machine together';
      const current = await readFile(path, 'utf8').catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      // What an admin made of it stays.
      return current === undefined ? `write ${path}: what receivers take of this machine together` : undefined;
    },
    act: async () => {
      const path = await pathOf();
      if (path === undefined) return;
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await writeFileAtomically(path, sliceText, { mode: 0o644, uid: 0, gid: 0 });
      await run(['systemctl', 'daemon-reload']);
    },
  };
}
