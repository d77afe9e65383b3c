import { unlink, writeFile } from 'node:fs/promises';
import type { ServerConfig } from '../../config/server-config.ts';
import { reasonOf } from '../../errors.ts';
import type { ToldEvent } from '../../report/mail.ts';
import type { Clock } from '../../system/clock.ts';
import { isMissing } from '../../system/files.ts';
import { tryLock } from '../../system/lock.ts';
import type { Log } from '../../system/log.ts';
import type { ServerEvent } from '../events.ts';
import type { HealthFinding } from '../health/check.ts';
import type { Store } from '../store.ts';
import { alertsFor, collect, type Made } from './collect.ts';
import { type Drained, drain } from './drain.ts';
import { newFindings } from './health.ts';
import { againOf, enqueue, lockOf, openSpool, type PostState, readState, writeState } from './spool.ts';

export interface RoundDeps {
  readonly config: ServerConfig;
  /** @throws when the store is not there: that is told, too. */
  readonly openStore: () => Promise<Store>;
  readonly spool: string;
  readonly registryFile: string;
  /** The server's name. */
  readonly server: string;
  readonly clock: Clock;
  readonly log: Log;
  /** What the health of the server is; without it only events are told. */
  readonly health?: () => Promise<readonly HealthFinding[]>;
  /** Writes an event down; a dry run does not. */
  readonly record?: (event: ServerEvent) => Promise<void>;
}

/** That the store is away is told daily. */
const storeDownMs = 24 * 3_600_000;
/** Whoever came while a round was going on is served by the same process, but not for ever. */
const mostRounds = 10;

/**
 * One round: looks at what happened, puts it into the queue and sends what is due. When another round is going on, that one begins
 * again at its end, and this one is undefined.
 */
export async function postRound(deps: RoundDeps): Promise<Drained | undefined> {
  const { spool } = deps;
  await openSpool(spool);
  let done: Drained | undefined;
  for (let round = 0; round < mostRounds; round += 1) {
    const lock = await tryLock(lockOf(spool), { create: true });
    if (lock === undefined) {
      await writeFile(againOf(spool), '', { mode: 0o600 });
      return done;
    }
    try {
      await takeAgain(spool);
      await lookAround(deps);
      const { sent, waiting } = await drain({ ...deps, mail: deps.config.mail });
      done = { sent: (done?.sent ?? 0) + sent, waiting };
    } finally {
      await lock.release();
    }
    if (!(await takeAgain(spool))) break;
  }
  return done;
}

/** True when somebody wanted another round. */
async function takeAgain(spool: string): Promise<boolean> {
  try {
    await unlink(againOf(spool));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function lookAround(deps: RoundDeps): Promise<void> {
  const { spool, clock, log } = deps;
  const now = clock.now();
  const { made, state } = await look(await readState(spool, now), deps, now);
  for (const { post, lifeMs } of made) {
    if (await enqueue(spool, post, { now, lifeMs })) continue;
    log.warn('too much waits to be mailed already: what is new is only in byteback events');
    break;
  }
  // Last: a crash before this tells something twice, and never nothing.
  await writeState(spool, state);
}

/** What there is to send; nothing is sent or remembered yet. */
export async function look(before: PostState, deps: RoundDeps, now: Date): Promise<{ made: Made[]; state: PostState }> {
  let store: Store;
  try {
    store = await deps.openStore();
  } catch (error) {
    return await storeIsAway(before, reasonOf(error), deps, now);
  }
  return collect(before, { ...deps, store, now });
}

async function storeIsAway(
  before: PostState,
  why: string,
  deps: RoundDeps,
  now: Date,
): Promise<{ made: Made[]; state: PostState }> {
  const { storeDown } = before;
  const isTold = storeDown !== undefined && now.getTime() - Date.parse(storeDown) < storeDownMs;
  const event: ToldEvent = {
    at: now.toISOString(),
    kind: 'store',
    what: `the store ${deps.config.store} is not there: no client can back up`,
    why,
  };
  const found = newFindings((await deps.health?.()) ?? [], before.health ?? {}, now);
  const events = [...(isTold ? [] : [event]), ...found.events];
  const { made, floods } = alertsFor(events, before.floods, { ...deps, now });
  return { made, state: { ...before, floods, health: found.told, storeDown: isTold ? storeDown : now.toISOString() } };
}
