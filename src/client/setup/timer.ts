import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { enableNow, giveTime, isEnabledAndActive, isSystemdRunning, unitExists } from '../../system/systemd.ts';

/** What was asked for: `auto` takes systemd where it runs, otherwise cron. */
export type TimerChoice = 'auto' | 'systemd' | 'cron' | 'none';

const timerUnit = 'byteback-backup.timer';
const drillUnit = 'byteback-drill.timer';
const backupProgram = '/usr/bin/byteback-backup';
const drillCommand = '/usr/bin/byteback drill';
const cronDirectory = '/etc/cron.d';

/** What this machine has; looked up once, so that the decision is a pure one. */
export interface Scheduling {
  readonly systemd: boolean;
  readonly unitInstalled: boolean;
  readonly cron: boolean;
  readonly programInstalled: boolean;
  /** BYTEBACK_CONFIG_DIR or BYTEBACK_STATE_DIR say that this is one of several clients on the machine. */
  readonly ownDirectories: boolean;
}

/** What will be done, or why nothing is. */
export type TimerPlan = { readonly kind: 'systemd' | 'cron' } | { readonly kind: 'none'; readonly why: string };

/**
 * Which scheduler runs the daily backup.
 * @throws BytebackError (usage) when what was asked for by name is not there.
 */
export function planTimer(choice: TimerChoice, has: Scheduling): TimerPlan {
  if (choice === 'none') return { kind: 'none', why: 'as asked (--no-timer)' };
  const whyNoSystemd = !has.systemd
    ? 'systemd does not run here'
    : !has.unitInstalled
      ? `${timerUnit} is not installed`
      : has.ownDirectories
        ? `${timerUnit} knows only /etc/byteback, not BYTEBACK_CONFIG_DIR`
        : undefined;
  const whyNoCron = !has.cron
    ? `there is no ${cronDirectory}: cron is not installed`
    : !has.programInstalled
      ? `${backupProgram} is not installed`
      : undefined;
  const asked = (why: string): BytebackError =>
    new BytebackError('usage', {
      what: `cannot set up the daily run with ${choice}`,
      why,
      fix: 'leave the option away to let byteback choose, or give --no-timer and run byteback-backup yourself',
    });
  if (choice === 'systemd') {
    if (whyNoSystemd !== undefined) throw asked(whyNoSystemd);
    return { kind: 'systemd' };
  }
  if (choice === 'cron') {
    if (whyNoCron !== undefined) throw asked(whyNoCron);
    return { kind: 'cron' };
  }
  if (whyNoSystemd === undefined) return { kind: 'systemd' };
  // With systemd running, cron is the second choice that a person has to make.
  if (has.systemd) return { kind: 'none', why: `${whyNoSystemd}; --cron would do it` };
  return whyNoCron === undefined ? { kind: 'cron' } : { kind: 'none', why: `${whyNoSystemd}, and ${whyNoCron}` };
}

/** Looks at the machine. */
export async function lookAtScheduling(ownDirectories: boolean): Promise<Scheduling> {
  const systemd = isSystemdRunning();
  return {
    systemd,
    unitInstalled: systemd && (await unitExists(timerUnit)),
    cron: existsSync(cronDirectory),
    programInstalled: existsSync(backupProgram),
    ownDirectories,
  };
}

/** Names in /etc/cron.d may not have dots; several clients on one machine have a file each. */
export function cronFileName(name: ClientName, ownDirectories: boolean): string {
  return ownDirectories ? `byteback-backup-${name.replaceAll('.', '_')}` : 'byteback-backup';
}

/** @param minuteOfNight 0 is midnight; below 360, six in the morning. */
export function cronText(
  name: ClientName,
  environment: Readonly<Record<string, string>>,
  minuteOfNight: number,
): string {
  return [
    `# The daily run of byteback for ${name}, made by byteback-setup-client. Its minute was drawn once, so that`,
    '# not all clients come at the same time; change it as you like. cron mails what it prints: nothing when all is well.',
    'SHELL=/bin/sh',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...Object.entries(environment).map(([key, value]) => `${key}=${value}`),
    `${minuteOfNight % 60} ${Math.floor(minuteOfNight / 60)} * * * root ${backupProgram}`,
    '# Every Sunday: would a restore work?',
    `${minuteOfNight % 60} ${9 + Math.floor(minuteOfNight / 60)} * * 0 root ${drillCommand} >/dev/null`,
    '',
  ].join('\n');
}

/** "03:07:00" */
function timeOfDay(minute: number): string {
  return [Math.floor(minute / 60), minute % 60, 0].map((part) => String(part).padStart(2, '0')).join(':');
}

/** Carries out a plan; says in words what there is now. */
export async function applyTimer(
  plan: TimerPlan,
  about: { name: ClientName; paths: ClientPaths; ownDirectories: boolean; random: (below: number) => number },
  log: Log,
): Promise<string> {
  if (plan.kind === 'none') return `no daily run: ${plan.why}`;
  if (plan.kind === 'systemd') {
    const minute = about.random(360);
    if (!(await isEnabledAndActive(timerUnit))) {
      log.step(`enabling the daily run: systemctl enable --now ${timerUnit}`);
      await giveTime(timerUnit, `*-*-* ${timeOfDay(minute)}`);
      await enableNow(timerUnit);
    }
    if (!(await isEnabledAndActive(drillUnit)) && (await unitExists(drillUnit))) {
      await giveTime(drillUnit, `Sun *-*-* ${timeOfDay(9 * 60 + minute)}`);
      await enableNow(drillUnit);
    }
    return `runs daily by ${timerUnit}`;
  }
  const file = join(cronDirectory, cronFileName(about.name, about.ownDirectories));
  const existing = await readFile(file, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (existing === undefined) {
    const environment = about.ownDirectories
      ? { BYTEBACK_CONFIG_DIR: about.paths.configDir, BYTEBACK_STATE_DIR: about.paths.stateDir }
      : {};
    log.step(`writing the daily run to ${file}`);
    await writeFileAtomically(file, cronText(about.name, environment, about.random(360)), { mode: 0o644 });
  }
  return `runs daily by ${file}`;
}
