import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import * as v from 'valibot';
import { serverPaths } from '../../config/paths.ts';
import type { ServerConfig } from '../../config/server-config.ts';
import { reasonOf } from '../../errors.ts';
import { areQuotasInconsistent, btrfsInSys, readDevices } from '../../system/btrfs-health.ts';
import { isMissing } from '../../system/files.ts';
import { findMount } from '../../system/mounts.ts';
import { presentBitrot } from '../bitrot.ts';
import { ledgerWrittenAt } from '../ledger.ts';
import { readQueue } from '../post/spool.ts';
import { findMissingState, findPutAside } from '../state-files.ts';
import { type Store, StoreFileSchema } from '../store.ts';
import type { Fact, FactValues } from './facts.ts';

/** Looks a fact up; what it throws is the reason why there is none. */
export async function fact<T>(look: () => T | Promise<T>): Promise<Fact<T>> {
  try {
    return { value: await look() };
  } catch (error) {
    return { unreadable: reasonOf(error) };
  }
}

/** The value of a fact, or what to show in its place. */
export function valueOr<T>(read: Fact<T>, otherwise: T): T {
  return 'value' in read ? read.value : otherwise;
}

/** The part of the facts that lies on the disks, around the store and in its state; the status itself gives the rest. */
export type GroundFacts = 'mount' | 'disks' | 'quota' | 'scrub' | 'pruning' | 'post' | 'state';

/** @param isThere false when there is no store: all that lies in it is then told as one thing, that it is away. */
export async function collectGround(
  store: Store,
  isThere: boolean,
): Promise<{ readonly [Name in GroundFacts]: Fact<FactValues[Name]> }> {
  const inStore = <T>(look: () => Promise<T>): Promise<Fact<T>> | Fact<T> => (isThere ? fact(look) : { skipped: true });
  const sys = inStore(async () => {
    const mount = await findMount(store.root);
    if (mount === undefined) throw new Error(`nothing is mounted at ${store.root}`);
    return await btrfsInSys(mount.source);
  });
  const fromSys = async <T>(look: (directory: string) => Promise<T>): Promise<Fact<T>> => {
    const found = await sys;
    return 'value' in found ? fact(() => look(found.value)) : found;
  };
  const [mount, disks, quota, scrub, pruning, post, state] = await Promise.all([
    inStore(() => lookAtMount(store)),
    fromSys(readDevices),
    fromSys(async (directory) => ({ inconsistent: await areQuotasInconsistent(directory) })),
    inStore(() => lookAtScrub(store)),
    inStore(async () => ({ lastAt: (await ledgerWrittenAt(store))?.toISOString() ?? null })),
    fact(lookAtPost),
    inStore(async () => ({ missing: await findMissingState(store), putAside: await findPutAside(store) })),
  ]);
  return { mount, disks, quota, scrub, pruning, post, state };
}

/** The kernel turns a file system read-only when its disk fails; access(2) tells that of root as well. */
async function lookAtMount(store: Store): Promise<FactValues['mount']> {
  try {
    await access(store.stateDir, constants.W_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
    return { readOnly: true, why: `${store.root} is read-only` };
  }
  const mount = await findMount(store.root);
  return { readOnly: mount?.options.includes('ro') ?? false };
}

async function lookAtScrub(store: Store): Promise<FactValues['scrub']> {
  const [bitrot, file] = await Promise.all([presentBitrot(store), readFile(store.storeFile, 'utf8')]);
  const parsed = v.safeParse(StoreFileSchema, JSON.parse(file));
  return {
    at: bitrot.scrubbedAt,
    storeMadeAt: parsed.success ? parsed.output.createdAt : null,
    damagedFiles: bitrot.damaged.filter(({ current, snapshots }) => current === 'damaged' || snapshots.length > 0)
      .length,
    unplaced: bitrot.unplaced,
  };
}

async function lookAtPost(): Promise<FactValues['post']> {
  const waiting = (await readQueue(serverPaths.spool)).filter(({ attempts }) => attempts > 0);
  const [oldest] = waiting;
  return {
    waiting: waiting.length,
    oldestAt: oldest?.madeAt ?? null,
    ...(oldest?.lastError === undefined ? {} : { lastError: oldest.lastError }),
  };
}

/** What is to be said of server.toml. @param known clients that are registered or have history. */
export function lookAtConfig(config: ServerConfig, known: readonly string[]): FactValues['config'] {
  const there = new Set(known);
  const { problem } = config;
  return {
    problem: problem === undefined ? null : [problem.what, problem.why].filter(Boolean).join(': '),
    strangers: (config.clientTables ?? []).filter((name) => !there.has(name)),
  };
}

/** Registered clients that have no place in the store. */
export async function lookAtPlaces(
  store: Store,
  registered: readonly Parameters<Store['clientDir']>[0][],
): Promise<FactValues['places']> {
  const missing: string[] = [];
  for (const name of registered) {
    try {
      await stat(store.clientDir(name));
    } catch (error) {
      if (!isMissing(error)) throw error;
      missing.push(name);
    }
  }
  return { missing, registered: registered.length };
}
