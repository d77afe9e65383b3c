import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { enableNow, isEnabledAndActive, isSystemdRunning, unitExists } from '../../system/systemd.ts';
import type { Step } from './step.ts';

const unit = 'byteback-prune.timer';
const cronDirectory = '/etc/cron.d';
const cronFile = `${cronDirectory}/byteback-prune`;
const program = '/usr/bin/byteback-prune';

/** Names no address: what pruning prints goes to whoever gets root's mail, and it prints nothing when all is well. */
export const cronText = `# Keeps byteback's store from filling up; made by byteback-setup-server.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
17 * * * * root ${program}
`;

function systemdTimer(): Step {
  return {
    title: 'timer',
    check: async () => {
      if (await isEnabledAndActive(unit)) return undefined;
      if (await unitExists(unit)) return `enable ${unit}: prune hourly`;
      throw new BytebackError('usage', { what: `${unit} is not installed`, fix: 'install the package byteback again' });
    },
    act: () => enableNow(unit),
  };
}

function cronTimer(): Step {
  return {
    title: 'timer',
    check: async () => {
      const current = await readFile(cronFile, 'utf8').catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      // What an admin made of it stays.
      return current === undefined ? `write ${cronFile}: prune hourly (systemd does not run here)` : undefined;
    },
    act: () => writeFileAtomically(cronFile, cronText, { mode: 0o644, uid: 0, gid: 0 }),
  };
}

/**
 * Prunes once an hour, by systemd or else by cron. Undefined where there is neither: the store is still pruned after
 * each snapshot.
 */
export function timerStep(): Step | undefined {
  if (isSystemdRunning()) return systemdTimer();
  return existsSync(cronDirectory) ? cronTimer() : undefined;
}
