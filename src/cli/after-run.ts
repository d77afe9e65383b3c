import { loadServerConfig } from '../config/server-config.ts';
import { reasonOf } from '../errors.ts';
import { afterRun, inJournal } from '../server/after-run.ts';
import { kickAfterEvents } from '../server/post/kick.ts';
import { openStore } from '../server/store.ts';
import { systemClock } from '../system/clock.ts';

/** `after-run`: started by byteback-snapshot when a client has its answer. Nobody waits for it. */
process.umask(0o022);
process.chdir('/');
if (process.argv.length > 2) {
  process.stderr.write('after-run takes no arguments: byteback-snapshot starts it\n');
  process.exitCode = 2;
} else {
  try {
    const startedAtMs = Date.now();
    const config = await loadServerConfig();
    const store = await openStore(config);
    await afterRun({ config, store, clock: systemClock });
    await kickAfterEvents(store, startedAtMs);
  } catch (error) {
    // The snapshot stands; whatever becomes of pruning, the timer prunes again.
    await inJournal(async (log) => log.warn(`what follows a run failed: ${reasonOf(error)}`));
  }
}
