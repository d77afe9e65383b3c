import { serverPaths } from '../config/paths.ts';
import { loadServerConfig } from '../config/server-config.ts';
import { BytebackError, exitCodes, reasonOf } from '../errors.ts';
import { failureOf } from '../server/helper-request.ts';
import { kickAfterEvents, kickPost } from '../server/post/kick.ts';
import { answerHelper, type HelperAnswer } from '../server/runs/helper.ts';
import { openStore, type Store } from '../server/store.ts';
import { systemClock } from '../system/clock.ts';
import { openJournal } from '../system/journal.ts';
import type { Log } from '../system/log.ts';

/**
 * `byteback-snapshot`: the root helper that opens and closes runs. sudo starts it for the user byteback, without
 * arguments; one JSON request comes in on standard input, one JSON reply goes out. Whoever calls may be an attacker who
 * has taken over that user: nothing but its verbs can be asked for, and none of them deletes.
 */
async function answer(tellNews: (news: { store: Store; hasPings: boolean }) => void): Promise<HelperAnswer> {
  if (process.argv.length > 2) throw new BytebackError('usage', { what: 'byteback-snapshot takes no arguments' });
  if (process.getuid?.() !== 0) {
    throw new BytebackError('usage', {
      what: 'byteback-snapshot must run as root',
      fix: 'sudo starts it; nobody else needs to',
    });
  }
  const config = await loadServerConfig();
  const store = await openStore(config);
  const clock = systemClock;
  tellNews({ store, hasPings: config.hasPings ?? false });
  return answerHelper(process.stdin, {
    config,
    store,
    clock,
    admit: async (client, bytes) => {
      const { admit } = await import('../server/prune/admit.ts');
      return await logged((log) => admit(client, bytes, { config, store, clock, log }));
    },
    pruneAfterwards: async (about) => {
      const { prune } = await import('../server/prune/prune.ts');
      await logged((log) => prune({ mode: 'run', order: 'importance' }, { config, store, clock, log }), about);
      const { refreshReports } = await import('../server/status-refresh.ts');
      const sources = { config, store, registryFile: serverPaths.authorizedKeys };
      await logged((log) => refreshReports(sources, { clock, log }), about);
    },
  });
}

/** What is deleted, and why, stands in the system's log: nobody sees what this program prints. */
async function logged<T>(act: (log: Log) => Promise<T>, about?: { client: string; run: string }): Promise<T> {
  const journal = openJournal('byteback-prune');
  if (about !== undefined) journal.about?.(about);
  try {
    return await act(journal);
  } finally {
    await journal.close();
  }
}

process.umask(0o022);
process.chdir('/');
const startedAtMs = Date.now();
let news: { store: Store; hasPings: boolean } | undefined;
try {
  const { reply, afterwards } = await answer((found) => {
    news = found;
  });
  process.stdout.write(`${JSON.stringify(reply)}\n`);
  // A process of its own: no mail server can keep anybody here waiting.
  if ('snapshot' in reply || ('generation' in reply && news?.hasPings === true)) kickPost();
  // The snapshot stands; whatever becomes of pruning, the timer prunes again.
  await afterwards?.().catch((error: unknown) => process.stderr.write(`pruning failed: ${reasonOf(error)}\n`));
} catch (error) {
  const failure = failureOf(error);
  process.stdout.write(`${JSON.stringify(failure)}\n`);
  process.exitCode = exitCodes[failure.exit];
}
if (news !== undefined) await kickAfterEvents(news.store, startedAtMs);
