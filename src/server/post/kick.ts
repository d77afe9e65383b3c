import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { startDetached } from '../../system/detached.ts';
import { isSystemdRunning } from '../../system/systemd.ts';
import type { Store } from '../store.ts';

/**
 * Has the post looked after now rather than at the timer's next turn, by a process of its own: whatever becomes of it, and however
 * long it takes, the caller neither waits nor fails.
 */
export function kickPost(): void {
  if (isSystemdRunning()) startDetached(['systemctl', 'start', '--no-block', 'byteback-report.service']);
  else startDetached([join(serverPaths.libDir, 'launch'), 'report', '--send']);
}

/** Does so when an event was written since a time. Never throws. */
export async function kickAfterEvents(store: Store, sinceMs: number): Promise<void> {
  try {
    if ((await stat(join(store.stateDir, 'events.jsonl'))).mtimeMs >= sinceMs) kickPost();
  } catch {
    // There are no events, or the timer sees to them.
  }
}
