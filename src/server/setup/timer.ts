import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { enableNow, giveTime, isEnabledAndActive, isSystemdRunning, unitExists } from '../../system/systemd.ts';
import type { Step } from './step.ts';

const cronDirectory = '/etc/cron.d';
const pathLine = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Something that a server does by itself. */
interface Chore {
  /** systemd's timer. */
  readonly unit: string;
  readonly cronFile: string;
  readonly cronText: string;
  /** When this machine's turn is, drawn for it; undefined: the unit's own time is good for all. */
  readonly drawTime?: () => string;
  /** "prune hourly". */
  readonly words: string;
}

/** Names no address: what pruning prints goes to whoever gets root's mail, and it prints nothing when all is well. */
export const cronText = `# Keeps byteback's store from filling up; made by byteback-setup-server.
${pathLine}
17 * * * * root /usr/bin/byteback-prune
`;

const pruning: Chore = {
  unit: 'byteback-prune.timer',
  cronFile: `${cronDirectory}/byteback-prune`,
  cronText,
  words: 'prune hourly',
};

const reporting: Chore = {
  unit: 'byteback-report.timer',
  cronFile: `${cronDirectory}/byteback-report`,
  cronText: `# Sends byteback's reports and alerts, and looks for overdue clients; made by byteback-setup-server.
${pathLine}
*/5 * * * * root /usr/bin/byteback report --send
`,
  words: 'mail every five minutes',
};

const scrubbing: Chore = {
  unit: 'byteback-scrub.timer',
  cronFile: `${cronDirectory}/byteback-scrub`,
  cronText: `# Reads byteback's whole store, looking for bitrot; made by byteback-setup-server.
${pathLine}
37 8 5 * * root /usr/bin/byteback scrub --limit 100M >/dev/null
`,
  drawTime: () => {
    const [day, hour, minute] = [1 + randomInt(28), randomInt(24), randomInt(60)].map((n) =>
      String(n).padStart(2, '0'),
    );
    return `*-*-${day} ${hour}:${minute}:00`;
  },
  words: 'read the whole store monthly, looking for bitrot',
};

function systemdTimer({ unit, words, drawTime }: Chore): Step {
  return {
    title: 'timer',
    check: async () => {
      if (await isEnabledAndActive(unit)) return undefined;
      if (await unitExists(unit)) return `enable ${unit}: ${words}`;
      throw new BytebackError('usage', { what: `${unit} is not installed`, fix: 'install the package byteback again' });
    },
    act: async () => {
      if (drawTime !== undefined) await giveTime(unit, drawTime());
      await enableNow(unit);
    },
  };
}

function cronTimer({ cronFile, cronText: text, words }: Chore): Step {
  return {
    title: 'timer',
    check: async () => {
      const current = await readFile(cronFile, 'utf8').catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      // What an admin made of it stays.
      return current === undefined ? `write ${cronFile}: ${words} (systemd does not run here)` : undefined;
    },
    act: () => writeFileAtomically(cronFile, text, { mode: 0o644, uid: 0, gid: 0 }),
  };
}

/**
 * Prunes once an hour, by systemd or else by cron. Undefined where there is neither: the store is still pruned after
 * each snapshot.
 */
export function timerStep(chore: Chore = pruning): Step | undefined {
  if (isSystemdRunning()) return systemdTimer(chore);
  return existsSync(cronDirectory) ? cronTimer(chore) : undefined;
}

/** Sends what waits to be mailed, in the same way. Undefined where there is neither: mails still go after each run. */
export function reportTimerStep(): Step | undefined {
  return timerStep(reporting);
}

/** Looks for bitrot, in the same way. Undefined where there is neither: `byteback scrub` can be started by hand. */
export function scrubTimerStep(): Step | undefined {
  return timerStep(scrubbing);
}
