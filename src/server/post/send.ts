import { hostname } from 'node:os';
import { serverPaths } from '../../config/paths.ts';
import { loadServerConfig } from '../../config/server-config.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import type { Clock } from '../../system/clock.ts';
import { openJournal } from '../../system/journal.ts';
import type { Log } from '../../system/log.ts';
import { collectSshdRefusals } from '../sshd-refusals.ts';
import { lookAtServer, statusSources } from '../status.ts';
import { openStore } from '../store.ts';
import type { Drained } from './drain.ts';
import { postRound, type RoundDeps } from './round.ts';

/** What a round needs, on this machine. @throws BytebackError when it is no server, or the caller is not root. */
export async function thisServersPost({ log, clock }: { log: Log; clock: Clock }): Promise<RoundDeps> {
  if (process.getuid?.() !== 0) {
    throw new BytebackError('usage', {
      what: 'only root sees what the clients of a server did',
      fix: 'run it with sudo',
    });
  }
  const config = await loadServerConfig();
  return {
    config,
    openStore: () => openStore(config),
    spool: serverPaths.spool,
    registryFile: serverPaths.authorizedKeys,
    server: hostname(),
    health: async () => (await lookAtServer(await statusSources(), { clock })).health,
    clock,
    log,
  };
}

/** `byteback report --send`: one round. What did not go is told in the system's log: a timer must not mail about mails. */
export async function sendPost({ log, clock }: { log: Log; clock: Clock }): Promise<Drained | undefined> {
  const journal = openJournal('byteback-report');
  const both: Log = {
    ...log,
    step: (text) => {
      journal.step(text);
      log.step(text);
    },
    warn: (text) => {
      journal.warn(text);
      log.info(text);
    },
  };
  try {
    const deps = await thisServersPost({ log: both, clock });
    const collected = async () => collectSshdRefusals(await deps.openStore(), { clock, user: deps.config.user });
    // A store that is away is told by the round itself.
    await collected().catch((error: unknown) => both.debug(`the log of sshd cannot be read: ${reasonOf(error)}`));
    return await postRound(deps);
  } finally {
    await journal.close();
  }
}
