import { readFileSync } from 'node:fs';

/** Names the time since this machine was last started; another after each start (proc_sys_kernel(5), random/boot_id). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
