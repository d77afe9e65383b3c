import { reasonOf } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { judgeClock } from '../../retention/clock-sanity.ts';
import { expectedNeedBytes, freeSpaceToReach } from '../../retention/need.ts';
import { makePlan, planDeletions } from '../../retention/plan.ts';
import type { Reading } from '../../retention/reading.ts';
import type { Aim, Hold, StoreState } from '../../retention/types.ts';
import { isRootsSubvolume } from '../../system/btrfs.ts';
import { openSimpleQuota } from '../../system/btrfs-quota.ts';
import type { Log } from '../../system/log.ts';
import { recordEvent } from '../events.ts';
import {
  endPause,
  freeOldGuards,
  growthIsSettled,
  type Holds,
  keepCopyOfHolds,
  pauseClient,
  readHolds,
  resumeClient,
  whyLost,
} from '../holds.ts';
import { appendToLedger, type Ledger, putDamagedLedgerAside, readLedger, writeLedger } from '../ledger.ts';
import { findReadings } from '../reading.ts';
import type { Store } from '../store.ts';
import { readSnapshots, type StoredSnapshot } from './contents.ts';
import { observe } from './observe.ts';
import { findRecovered } from './recovered.ts';
import { readStoreSpace } from './reserve.ts';
import { completedBy, differ, parseSettings, policyOf, type Settings, settingsOf } from './settings.ts';
import { measureClaims } from './sizes.ts';
import type { Space } from './space.ts';
import { stillStands } from './standstill.ts';
import type { PruneDeps, PruneOptions } from './types.ts';
import { inBytes } from './words.ts';

/** Everything that a prune decides upon, as it is on the disk now. */
export interface Seen {
  readonly contents: ReadonlyMap<ClientName, readonly StoredSnapshot[]>;
  readonly ledger: Ledger;
  readonly settings: Settings;
  readonly holds: Holds;
  space: Space;
  /** What of each client's is being read; looked at anew before each deletion. */
  readings: ReadonlyMap<ClientName, readonly Reading[]>;
  /** Snapshots that could not be deleted in this prune, with the reason. */
  readonly stuck: Hold[];
  /** Undefined when there is enough room. */
  readonly aim?: Aim;
  /** Why nothing may be pruned now. */
  readonly refusal?: string;
  /** The state as `space` and `ledger` say it at this moment. */
  state(): StoreState;
}

/** More than this part of all snapshots is not deleted by changed settings alone. */
const changedSettingsPart = 0.1;
/** @param record false to leave the ledger as it is: for a mere look. */
export async function look(
  options: PruneOptions,
  { config, store, clock, log }: PruneDeps,
  { record }: { record: boolean },
): Promise<Seen> {
  const now = clock.now();
  const [contents, ledger, space] = await Promise.all([
    readSnapshots(store),
    readLedger(store, log),
    readStoreSpace(store, config.prune.startPercent),
  ]);
  const { lines, disasters, habits } = await observe(ledger, contents, {
    now,
    log,
    charges: await readCharges(store, contents.keys()),
  });
  if (record) {
    for (const { client, reason, lastGood } of disasters) {
      log.warn(
        `${client}: ${reason}. Its snapshot ${lastGood ?? ''} is held and its pruning paused; when all is well: byteback release ${client} ${lastGood ?? ''}`,
      );
      await pauseClient(store, clock, { client, reason, lastGood });
      lines.push({ at: now.toISOString(), event: 'paused', client, why: reason });
      await recordEvent(store, {
        at: now.toISOString(),
        kind: 'destroys',
        client,
        what: `a backup of ${client} destroys: its pruning is paused, its last good snapshot is held`,
        why: reason,
      });
    }
    const ran = lines.filter(({ event }) => event === 'run').map(({ client }) => String(client));
    if (ran.length > 0) await growthIsSettled(store, clock, new Set(ran));
    for (const { client, lastGood } of await findRecovered({ store, contents, ran, disasters, log })) {
      log.info(`${client}: all that was in ${lastGood} is there again; it is released and pruning goes on`);
      await resumeClient(store, clock, client);
      lines.push({
        at: now.toISOString(),
        event: 'resumed',
        client,
        why: `all that was in ${lastGood} is there again`,
      });
    }
    for (const client of habits) {
      if (!(await endPause(store, clock, client))) continue;
      const why = 'most of its files are new in most of its runs: that is its habit';
      log.info(`${client}: pruning goes on: ${why}`);
      lines.push({ at: now.toISOString(), event: 'resumed', client, why });
      const what = `the pause of ${client} is over; the snapshot from before it stays held for a month`;
      await recordEvent(store, { at: now.toISOString(), kind: 'pause-ended', client, what, why });
    }
    for (const { client, snapshot } of await freeOldGuards(store, clock)) {
      log.info(`${client} ${snapshot} is released: the pause that it was held for is long over`);
    }
    await appendToLedger(store, lines, log);
    await keepCopyOfHolds(store);
    await putLedgerAside(store, now, log);
  }
  const holds = await readHolds(store);
  const newest = [...contents.values()]
    .map((snapshots) => snapshots.at(-1)?.time ?? 0)
    .reduce((a, b) => Math.max(a, b), 0);
  const verdict = judgeClock(now.getTime(), newest === 0 ? undefined : newest, memoryOf(ledger));
  ledger.clock = options.confirm === true ? { lastSeen: now.getTime() } : { ...verdict.memory };
  const lost = holds.lost === undefined ? undefined : whyLost(store, holds.lost);
  let refusal = lost ?? (options.confirm === true ? undefined : verdict.why);
  if (record && refusal !== undefined) await recordRefusal(store, now, refusal, lost !== undefined);

  const readings = await findReadings(store, contents.keys(), now, { record });
  const present = settingsOf(config, contents.keys());
  const stuck: Hold[] = [];
  const seen = (settings: Settings): Seen => ({
    contents,
    ledger,
    settings,
    holds,
    space,
    readings,
    stuck,
    state() {
      return {
        now: now.getTime(),
        freeBytes: this.space.freeBytes,
        clients: [...contents.keys()].map((name) => {
          const its = ledger.clients[name];
          const paused = holds.paused.find(({ client }) => client === name);
          return {
            name,
            policy: policyOf(settings, name),
            snapshots: its?.history.entries ?? [],
            // They are looked at again in the middle of a prune, whose time is that of its begin.
            readings: (this.readings.get(name) ?? []).map((each) => ({
              ...each,
              last: Math.min(each.last, now.getTime()),
            })),
            ...(its === undefined ? {} : { middleYield: its.history.middleYield }),
            ...(paused === undefined ? {} : { paused: paused.reason, pausedSince: Date.parse(paused.since) }),
          };
        }),
        holds: [...holds.holds.map(({ client, snapshot, reason }) => ({ client, name: snapshot, reason })), ...stuck],
      };
    },
  });

  const remembered = parseSettings(ledger.settings);
  let chosen = seen(present);
  let aim = aimOf(options, chosen, now.getTime()) ?? ageAim(options, chosen);
  if (aim !== undefined && aim.freeBytes > 0) {
    // Who pays hangs on what each has: nobody's word decides that.
    const measured = await measureClaims(ledger, contents, { totalBytes: space.totalBytes, now, log });
    if (record) await appendToLedger(store, measured, log);
  }
  if (remembered !== undefined && differ(remembered, present) && options.confirm !== true) {
    const count = aim === undefined ? 0 : planDeletions(chosen.state(), aim).pruned.length;
    const all = [...contents.values()].reduce((sum, snapshots) => sum + snapshots.length, 0);
    if (count > all * changedSettingsPart) {
      if (record) {
        await recordEvent(store, {
          at: now.toISOString(),
          kind: 'pruning-waits',
          what: `pruning waits: changed settings would delete ${count} of ${all} snapshots`,
          why: 'until it is confirmed, the settings from before hold',
        });
      }
      log.warn(
        `changed settings would delete ${count} of ${all} snapshots; until you confirm it with byteback-prune --confirm, the settings from before hold`,
      );
      chosen = seen(completedBy(remembered, present));
      aim = aimOf(options, chosen, now.getTime()) ?? ageAim(options, chosen);
    }
  }
  ledger.settings = chosen.settings;
  if (ledger.standstill !== undefined) {
    const around = { store, ledger, contents, freeBytes: space.freeBytes, now, log };
    ledger.standstill =
      options.confirm === true || aim === undefined ? undefined : await stillStands(ledger.standstill, around);
    refusal ??= ledger.standstill?.why;
  }
  if (record && aim !== undefined) {
    const read = makePlan(chosen.state(), { freeBytes: 0, order: options.order }).decisions.filter(
      ({ because }) => because === 'read',
    );
    const at = now.toISOString();
    const kept = read.map(({ client, snapshot, reason: why }) => ({
      at,
      event: 'read' as const,
      client,
      snapshot: snapshot.name,
      why,
    }));
    for (const { client, snapshot, why } of kept) log.info(`${client} ${snapshot} stays: ${why}`);
    await appendToLedger(store, kept, log);
  }
  if (record) await writeLedger(store, ledger, log);
  if (space.metadataShort) {
    const free = `${space.metadataFreePercent.toFixed(1)} % free, data: ${inBytes(space.dataFreeBytes)}`;
    log.info(`metadata are short: ${free}`);
  }
  const found = { ...(aim === undefined ? {} : { aim }), ...(refusal === undefined ? {} : { refusal }) };
  return Object.assign(chosen, found);
}

/** A damaged ledger goes out of the way of the one that is written now. */
async function putLedgerAside(store: Store, now: Date, log: Log): Promise<void> {
  const aside = await putDamagedLedgerAside(store, now).catch((error: unknown) => {
    log.warn(`the damaged ledger stays where it is: ${reasonOf(error)}`);
    return undefined;
  });
  if (aside === undefined) return;
  const what = 'the ledger of pruning was damaged and is begun anew';
  await recordEvent(store, { at: now.toISOString(), kind: 'state', what, why: `the damaged one is ${aside}` });
}

/** Nothing is pruned, and nobody asked for that: the admin hears of it. Alike events are told once a day. */
async function recordRefusal(store: Store, now: Date, why: string, isLost: boolean): Promise<void> {
  const kind = isLost ? 'state' : 'clock';
  await recordEvent(store, { at: now.toISOString(), kind, what: `nothing is pruned: ${why}` });
}

/** What each client is charged on a store with simple quotas; empty on others. */
async function readCharges(store: Store, clients: Iterable<ClientName>): Promise<Map<ClientName, number>> {
  const quota = await openSimpleQuota(store.root);
  const found = new Map<ClientName, number>();
  if (quota === undefined) return found;
  for (const client of clients) {
    const current = store.currentDir(client);
    // One of the original's clients has no `current` of ours; one that is being deleted has no group any more.
    if (!(await isRootsSubvolume(current).catch(() => false))) continue;
    const bytes = await quota.chargedBytes(current).catch(() => undefined);
    if (bytes !== undefined) found.set(client, bytes);
  }
  return found;
}

function memoryOf({ clock: { lastSeen, suspectSince } }: Ledger) {
  return { ...(lastSeen === undefined ? {} : { lastSeen }), ...(suspectSince === undefined ? {} : { suspectSince }) };
}

/** No space is wanted, but some snapshots are older than the admin allows. */
function ageAim({ order }: PruneOptions, seen: Seen): Aim | undefined {
  const aim = { freeBytes: 0, order };
  if (!Object.values(seen.settings.clients).some(({ maxAgeMs }) => maxAgeMs !== undefined)) return undefined;
  return planDeletions(seen.state(), aim).pruned.length > 0 ? aim : undefined;
}

/** What is to be reached now: what was asked for, or what the settings and the runs to come demand. */
function aimOf({ order, freeTarget, demand }: PruneOptions, seen: Seen, now: number): Aim | undefined {
  const { space, settings, ledger } = seen;
  const { totalBytes, freeBytes } = space;
  if (freeTarget !== undefined) {
    const target = typeof freeTarget === 'number' ? freeTarget : (totalBytes * freeTarget.percent) / 100;
    return freeBytes < target ? { freeBytes: target, order } : undefined;
  }
  const needBytes = expectedNeedBytes(
    Object.values(ledger.clients).map(({ history }) => history.runs),
    now,
  );
  const standing = freeSpaceToReach({ freeBytes, totalBytes, needBytes }, settings);
  if (demand === undefined) {
    if (standing === undefined) return undefined;
    // Where `stop` is out of reach, `start` is better than nothing.
    return { freeBytes: standing, leastBytes: (totalBytes * settings.startPercent) / 100, order };
  }
  const { client, aimBytes, leastBytes } = demand;
  return freeBytes < aimBytes ? { freeBytes: aimBytes, order, demand: { client, freeBytes: leastBytes } } : undefined;
}
