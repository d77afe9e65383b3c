import { serverPaths } from '../config/paths.ts';
import type { ServerConfig } from '../config/server-config.ts';
import type { Clock } from '../system/clock.ts';
import { openJournal } from '../system/journal.ts';
import type { Log } from '../system/log.ts';
import type { Store } from './store.ts';

/** What follows each run: room is made where it is short, and metrics and page are written. */
export async function afterRun(deps: { config: ServerConfig; store: Store; clock: Clock }): Promise<void> {
  const { config, store, clock } = deps;
  await inJournal(async (log) => {
    // Loaded only here: prepare and the end of a transfer need neither.
    const { prune } = await import('./prune/prune.ts');
    try {
      await prune({ mode: 'run', order: 'importance' }, { config, store, clock, log });
    } finally {
      const { refreshReports } = await import('./status-refresh.ts');
      await refreshReports({ config, store, registryFile: serverPaths.authorizedKeys }, { clock, log });
    }
  });
}

/** What is deleted, and why, stands in the system's log: nobody sees what such a program prints. */
export async function inJournal<T>(act: (log: Log) => Promise<T>): Promise<T> {
  const journal = openJournal('byteback-prune');
  try {
    return await act(journal);
  } finally {
    await journal.close();
  }
}
