import { existsSync } from 'node:fs';
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

/** When a timer next elapses; undefined when it is not active, not known, or never will. */
export async function nextElapse(timer: string): Promise<Date | undefined> {
  const { stdout } = await run(
    ['systemctl', 'show', '--timestamp=unix', '--property=NextElapseUSecRealtime', '--value', '--', timer],
    { accept: [0, 1, 4] },
  );
  const seconds = /^@(\d+)$/.exec(stdout.toString('utf8').trim())?.[1];
  return seconds === undefined ? undefined : new Date(Number(seconds) * 1000);
}
