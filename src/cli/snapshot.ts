import { join } from 'node:path';
import { serverPaths } from '../config/paths.ts';
import { BytebackError, exitCodes, reasonOf } from '../errors.ts';
import { afterRun, inJournal } from '../server/after-run.ts';
import { failureOf } from '../server/helper-request.ts';
import { kickAfterEvents, kickPost } from '../server/post/kick.ts';
import { loadAndPublish } from '../server/receive/settings.ts';
import { answerHelper, type HelperDeps } from '../server/runs/helper.ts';
import { openStore } from '../server/store.ts';
import { explainStoreTrouble } from '../server/store-trouble.ts';
import { freeSpace } from '../system/btrfs.ts';
import { systemClock } from '../system/clock.ts';
import { startDetached } from '../system/detached.ts';

/**
 * `byteback-snapshot`: the root helper that opens and closes runs. sudo starts it for the user byteback, without
 * arguments; one JSON request comes in on standard input, one JSON reply goes out. Whoever calls may be an attacker who
 * has taken over that user: nothing but its verbs can be asked for, and none of them deletes.
 */
async function serveRequest(): Promise<void> {
  if (process.argv.length > 2) throw new BytebackError('usage', { what: 'byteback-snapshot takes no arguments' });
  if (process.getuid?.() !== 0) {
    throw new BytebackError('usage', {
      what: 'byteback-snapshot must run as root',
      fix: 'sudo starts it; nobody else needs to',
    });
  }
  const config = await loadAndPublish();
  const store = await openStore(config);
  const clock = systemClock;
  const deps: HelperDeps = {
    config,
    store,
    clock,
    admit: async (client, bytes) => {
      const { admit } = await import('../server/prune/admit.ts');
      return await inJournal((log) => admit(client, bytes, { config, store, clock, log }));
    },
    makeRoom: async (client, record) => {
      const { makeRoom } = await import('../server/prune/make-room.ts');
      return await inJournal((log) => makeRoom(client, record, { config, store, clock, log }));
    },
    pruneAfterwards: async () => {
      const { freeBytes, totalBytes } = await freeSpace(store.root);
      // Whoever comes next finds room. Far from the limit nobody has to wait for a look at all of the store.
      if (freeBytes < (totalBytes * 2 * config.prune.startPercent) / 100) await afterRun({ config, store, clock });
      else startDetached([process.execPath, ...process.execArgv, join(serverPaths.libDir, 'after-run.mjs')]);
    },
  };
  const startedAtMs = Date.now();
  try {
    const { reply, afterwards } = await answerHelper(process.stdin, deps);
    // The snapshot stands; whatever becomes of pruning, the timer prunes again.
    await afterwards?.().catch((error: unknown) => process.stderr.write(`pruning failed: ${reasonOf(error)}\n`));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
    // A process of its own: no mail server can keep anybody here waiting.
    if ('snapshot' in reply || ('generation' in reply && config.hasPings === true)) kickPost();
  } catch (error) {
    answerFailure(explainStoreTrouble(error, store.root));
  }
  await kickAfterEvents(store, startedAtMs);
}

function answerFailure(error: unknown): void {
  const failure = failureOf(error);
  process.stdout.write(`${JSON.stringify(failure)}\n`);
  process.exitCode = exitCodes[failure.exit];
}

process.umask(0o022);
process.chdir('/');
await serveRequest().catch(answerFailure);
