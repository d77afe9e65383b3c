import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientPaths } from '../config/paths.ts';
import { isMissing } from '../system/files.ts';
import { isSystemdRunning, nextElapse } from '../system/systemd.ts';

/** When the next run begins by itself, and what starts it. */
export interface NextRun {
  /** Undefined when the scheduler does not say. */
  readonly at: Date | undefined;
  /** "byteback-backup.timer", or the file of cron. */
  readonly by: string;
}

const timerUnit = 'byteback-backup.timer';
const cronDirectory = '/etc/cron.d';

/** The next run of this client, or undefined when nothing starts one. */
export async function findNextRun(paths: ClientPaths, now: Date): Promise<NextRun | undefined> {
  const isOwn = paths.configDir !== '/etc/byteback';
  // The unit knows only the usual directory.
  if (!isOwn && isSystemdRunning()) {
    const at = await nextElapse(timerUnit);
    if (at !== undefined) return { at, by: timerUnit };
  }
  for (const file of await cronFiles()) {
    const text = await readFile(join(cronDirectory, file), 'utf8');
    const itsDirectory = /^BYTEBACK_CONFIG_DIR=(.*)$/m.exec(text)?.[1] ?? '/etc/byteback';
    if (itsDirectory !== paths.configDir) continue;
    return { at: nextDaily(text, now), by: join(cronDirectory, file) };
  }
  return undefined;
}

async function cronFiles(): Promise<string[]> {
  try {
    return (await readdir(cronDirectory)).filter((name) => name.startsWith('byteback-backup')).toSorted();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** When a crontab next runs what it runs once a day at a fixed time, in the machine's own time zone. */
export function nextDaily(crontab: string, now: Date): Date | undefined {
  const [, minute, hour] = /^(\d{1,2}) (\d{1,2}) \* \* \* /m.exec(crontab) ?? [];
  if (minute === undefined || hour === undefined || Number(minute) > 59 || Number(hour) > 23) return undefined;
  const next = new Date(now);
  next.setHours(Number(hour), Number(minute), 0, 0);
  if (next <= now) next.setDate(next.getDate() + 1);
  return next;
}
