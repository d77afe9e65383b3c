import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomically } from './files.ts';
import { run } from './run.ts';

/** True when systemd manages this machine: the test that sd_booted(3) makes. */
export function isSystemdRunning(): boolean {
  return existsSync('/run/systemd/system');
}

/** True when systemd knows a unit of this name. */
export async function unitExists(unit: string): Promise<boolean> {
  const { exitCode } = await run(['systemctl', 'cat', '--', unit], { accept: [0, 1, 4] });
  return exitCode === 0;
}

/** True when a unit starts by itself after a boot and is active now. */
export async function isEnabledAndActive(unit: string): Promise<boolean> {
  const enabled = await run(['systemctl', 'is-enabled', '--quiet', '--', unit], { accept: [0, 1, 4] });
  const active = await run(['systemctl', 'is-active', '--quiet', '--', unit], { accept: [0, 1, 3, 4] });
  return enabled.exitCode === 0 && active.exitCode === 0;
}

/** Starts a unit now and after every boot. @throws ProgramError with what systemctl says. */
export async function enableNow(unit: string): Promise<void> {
  await run(['systemctl', 'enable', '--now', '--', unit]);
}

/** Where set-up says when a timer elapses; an admin's own files go in the same directory, and later names go first. */
export function timerTimeFile(timer: string): string {
  return `/etc/systemd/system/${timer}.d/byteback.conf`;
}

/**
 * Gives a timer a time of its own, in place of that of its unit; one that it has stays. A random delay of systemd's does
 * not do: it is waited for anew after each boot, so that a machine that is never on for so long never makes up a run.
 * @param onCalendar as systemd.time(7) has it.
 */
export async function giveTime(timer: string, onCalendar: string): Promise<void> {
  const file = timerTimeFile(timer);
  if (existsSync(file)) return;
  await mkdir(dirname(file), { recursive: true, mode: 0o755 });
  const text = `# When it is this machine's turn: drawn once by byteback's set-up. Change it as you like, then run:\n# systemctl daemon-reload\n[Timer]\nOnCalendar=\nOnCalendar=${onCalendar}\n`;
  await writeFileAtomically(file, text, { mode: 0o644 });
  await run(['systemctl', 'daemon-reload']);
}

/** When a timer next elapses; undefined when it is not active, not known, or never will. */
export async function nextElapse(timer: string): Promise<Date | undefined> {
  const { stdout } = await run(['systemctl', 'show', '--property=NextElapseUSecRealtime', '--value', '--', timer], {
    accept: [0, 1, 4],
    env: { TZ: 'UTC' },
  });
  // "Sat 2026-11-21 08:13:59 UTC": systemctl has a --timestamp=unix, but not for this.
  const time = Date.parse(stdout.toString('utf8').trim());
  return Number.isNaN(time) ? undefined : new Date(time);
}
