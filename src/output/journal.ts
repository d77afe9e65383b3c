import { fstatSync } from 'node:fs';

/** Priorities of syslog, as systemd reads them at the beginning of a line: sd-daemon(3). */
export const priorities = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 } as const;
export type Priority = keyof typeof priorities;

/**
 * True when a descriptor is the journal's: systemd names its device and inode in JOURNAL_STREAM, systemd.exec(5). A
 * program that was given another standard error by somebody in between is told apart so.
 */
export function isJournal(fd: number, env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (!stream) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    // A closed descriptor is nobody's.
    return false;
  }
}

/** Text as lines of the journal: each with its priority, and with what it is about. */
export function journalLines(priority: Priority, text: string, about = ''): string {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => `<${priorities[priority]}>${about}${line}\n`)
    .join('');
}
