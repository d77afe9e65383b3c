import { judgeRun } from '../../src/retention/admission.ts';
import { growthLimitBytes, usualRunBytes, whyDestructive } from '../../src/retention/guards.ts';
import { emptyHistory, type History, historyBytes, recordDeletion, recordRun } from '../../src/retention/history.ts';
import { expectedNeedBytes, freeSpaceToReach } from '../../src/retention/need.ts';
import { fairBytesPerWeight, isWithinShare } from '../../src/retention/shares.ts';
import { pruneStepByStep } from '../../src/retention/steps.ts';
import type { Aim, Decision, Hold, StoreState } from '../../src/retention/types.ts';
import { StoreModel } from './store-model.ts';
import type { Trace, Written } from './trace.ts';

/** What the simulated admin has set. */
export interface Settings {
  readonly startPercent: number;
  readonly stopPercent: number;
  readonly keepLast: number;
  readonly growthFactor: number;
  /** Days until the admin answers a mail: releases what was held, allows a growth. */
  readonly adminDays: number;
}

export const defaultSettings: Settings = {
  startPercent: 5,
  stopPercent: 10,
  keepLast: 3,
  growthFactor: 10,
  adminDays: 7,
};

/** The store at the end of one day. */
export interface Sample {
  readonly day: number;
  readonly usedPercent: number;
  /** Ages in days of the remaining snapshots of each client. */
  readonly ages: ReadonlyMap<string, readonly number[]>;
}

/** A run that was not let in, or one that looked like a disaster. */
export interface Incident {
  readonly day: number;
  readonly client: string;
  readonly kind: 'too-large' | 'no-room' | 'destructive';
}

/** What came of it. */
export interface Outcome {
  readonly days: number;
  /** Runs that did not fit although they had been let in. */
  readonly outOfSpace: number;
  readonly minFreePercent: number;
  /** The fewest snapshots of any client that has had `keepLast` of them. */
  readonly minSnapshots: number;
  readonly unfairEvictions: number;
  readonly heldEvictions: number;
  readonly evictions: number;
  readonly ownDemandEvictions: number;
  /** The day on which something had to go for the first time. */
  readonly filledOnDay: number | undefined;
  readonly daysBelow85: number;
  readonly medianUsedPercent: number;
  readonly historyDays: ReadonlyMap<string, number>;
  readonly snapshots: ReadonlyMap<string, number>;
  readonly incidents: readonly Incident[];
  readonly samples: readonly Sample[];
}

const dayMs = 86_400_000;
/** A Thursday; the trace says nothing of weekdays. */
const firstDay = Date.UTC(2026, 0, 1);
/** The trace knows bytes, not files. */
const someFiles = 10_000;
const unfilledPercent = 85;

/** What the simulated server knows of one client, besides what the model knows. */
interface ClientState {
  readonly history: History;
  historyBytes: number;
  paused?: { reason: string; since: number };
  /** The first day of a refusal that the admin has not answered. */
  refusedSince?: number;
  allowed: boolean;
  /** What refused runs would have written. */
  waiting: Written[];
}

/** One life of a store: the real planner on a model of a disk. */
class Simulation {
  readonly #model = new StoreModel();
  readonly #clients = new Map<string, ClientState>();
  readonly #settings: Settings;
  #holds: Hold[] = [];
  readonly incidents: Incident[] = [];
  outOfSpace = 0;
  evictions = 0;
  ownDemandEvictions = 0;
  unfairEvictions = 0;
  heldEvictions = 0;
  minFreePercent = 100;
  minSnapshots = Number.POSITIVE_INFINITY;
  pruned = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  get model(): StoreModel {
    return this.#model;
  }

  #client(name: string): ClientState {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const client: ClientState = { history: emptyHistory(), historyBytes: 0, allowed: false, waiting: [] };
    this.#clients.set(name, client);
    return client;
  }

  /** The admin reads the mail of some days ago. */
  answerMail(day: number): void {
    for (const [name, client] of this.#clients) {
      if (client.paused !== undefined && day - client.paused.since >= this.#settings.adminDays) {
        delete client.paused;
        this.#holds = this.#holds.filter((hold) => hold.client !== name);
      }
      if (client.refusedSince !== undefined && day - client.refusedSince >= this.#settings.adminDays)
        client.allowed = true;
    }
  }

  /** One client asks to be backed up. */
  backUp(name: string, day: number, time: number, today: readonly Written[]): void {
    const client = this.#client(name);
    const model = this.#model;
    const written = [...client.waiting, ...today].filter(({ diesDay }) => diesDay > day);
    const announcedBytes = written.reduce((sum, { bytes }) => sum + bytes, 0);
    const floorBytes = model.totalBytes / 100;
    const limitBytes = growthLimitBytes(client.history.runs, { factor: this.#settings.growthFactor, floorBytes });
    const { startPercent } = this.#settings;
    const { freeBytes, totalBytes } = model;
    const admission = judgeRun({
      announcedBytes,
      limitBytes,
      allowed: client.allowed,
      freeBytes,
      totalBytes,
      startPercent,
    });
    if (admission.verdict === 'make-room') {
      const demand = { client: name, freeBytes: admission.leastBytes };
      this.#prune(time, { freeBytes: admission.aimBytes, order: 'importance', demand });
    }
    const refused =
      admission.verdict === 'too-large' ||
      (admission.verdict === 'make-room' && model.freeBytes < admission.leastBytes);
    if (refused) {
      client.waiting = written;
      if (admission.verdict === 'too-large') client.refusedSince ??= day;
      this.incidents.push({ day, client: name, kind: admission.verdict === 'too-large' ? 'too-large' : 'no-room' });
      return;
    }
    delete client.refusedSince;
    client.allowed = false;
    client.waiting = [];
    const usual = usualRunBytes(client.history.runs);
    const bytesBefore = model.client(name).treeBytes;
    const { name: lastGood, time: lastTime = 0 } = client.history.entries.at(-1) ?? {};
    const { writtenBytes, diedBytes, peakBytes } = model.run(name, time, day, written);
    if (peakBytes > totalBytes) this.outOfSpace += 1;
    this.minFreePercent = Math.min(this.minFreePercent, (100 * (totalBytes - peakBytes)) / totalBytes);
    recordRun(client.history, { name: String(time), time, status: 'ok', writtenBytes, diedBytes });
    client.historyBytes = historyBytes(client.history.entries);
    const reason = whyDestructive({
      usualBytes: usual,
      filesBefore: someFiles,
      filesNow: someFiles,
      bytesBefore,
      bytesNow: model.client(name).treeBytes,
      sentBytes: writtenBytes,
      elapsedMs: time - lastTime,
    });
    if (reason !== undefined && lastGood !== undefined) {
      this.incidents.push({ day, client: name, kind: 'destructive' });
      client.paused ??= { reason, since: day };
      if (!this.#holds.some((hold) => hold.client === name)) this.#holds.push({ client: name, name: lastGood, reason });
    }
    this.#pruneAsSet(time);
  }

  #pruneAsSet(time: number): void {
    const { freeBytes, totalBytes } = this.#model;
    const needBytes = expectedNeedBytes(
      [...this.#clients.values()].map(({ history }) => history.runs),
      time,
    );
    const aimBytes = freeSpaceToReach({ freeBytes, totalBytes, needBytes }, this.#settings);
    if (aimBytes !== undefined) this.#prune(time, { freeBytes: aimBytes, order: 'importance' });
  }

  #prune(now: number, aim: Aim): void {
    this.pruned = true;
    for (const decision of pruneStepByStep(() => this.#state(now), aim)) {
      const client = this.#client(decision.client);
      recordDeletion(client.history, decision.snapshot.name, this.#evict(decision));
      client.historyBytes = historyBytes(client.history.entries);
    }
  }

  #evict({ client, snapshot, because }: Decision): number {
    this.evictions += 1;
    if (because === 'own-demand') this.ownDemandEvictions += 1;
    else if (this.#isUnfair(client)) this.unfairEvictions += 1;
    if (this.#holds.some((hold) => hold.client === client && hold.name === snapshot.name)) this.heldEvictions += 1;
    const freed = this.#model.delete(client, snapshot.time);
    this.minSnapshots = Math.min(this.minSnapshots, this.#model.client(client).snapshots.length);
    return freed;
  }

  /** Judged by what the model knows, not by what the planner believes. */
  #isUnfair(payer: string): boolean {
    const holdings = [...this.#model.clients].map(([client, { historyBytes }]) => ({
      client,
      weight: 1,
      historyBytes,
    }));
    const fair = fairBytesPerWeight(holdings);
    const its = holdings.find(({ client }) => client === payer);
    return its !== undefined && isWithinShare(its, fair * (1 - 1e-6));
  }

  #state(now: number): StoreState {
    const { keepLast } = this.#settings;
    return {
      now,
      freeBytes: this.#model.freeBytes,
      holds: this.#holds,
      clients: [...this.#clients].map(([name, { history, paused, ...known }]) => ({
        name,
        policy: { weight: 1, keepLast },
        snapshots: history.entries,
        historyBytes: known.historyBytes,
        middleYield: history.middleYield,
        ...(paused === undefined ? {} : { paused: paused.reason }),
      })),
    };
  }
}

/** Feeds a store with a trace, day by day. */
export function simulate(trace: Trace, settings: Settings): Outcome {
  const simulation = new Simulation(settings);
  const { model } = simulation;
  const samples: Sample[] = [];
  const used: number[] = [];
  const hours = new Map(
    trace.clients.map((client, index) => [client, Math.floor((index * 20) / trace.clients.length)]),
  );
  let filledOnDay: number | undefined;
  let settledSince = Number.POSITIVE_INFINITY;
  let floodUntil = -1;
  let daysBelow85 = 0;
  const sampleEvery = Math.max(1, Math.round(trace.days / 90));
  for (let day = 0; day < trace.days; day += 1) {
    for (const { kind, value } of trace.events.get(day) ?? []) {
      if (kind === 'flood') floodUntil = Math.max(floodUntil, day + value + settings.adminDays);
      if (kind !== 'disk') continue;
      model.totalBytes = value;
      simulation.pruned = false;
      settledSince = Number.POSITIVE_INFINITY;
    }
    simulation.answerMail(day);
    for (const [client, written] of trace.runs.get(day) ?? []) {
      simulation.backUp(client, day, firstDay + day * dayMs + (hours.get(client) ?? 0) * 3_600_000, written);
    }
    if (simulation.pruned) {
      filledOnDay ??= day;
      settledSince = Math.min(settledSince, day);
    }
    const usedPercent = (100 * model.usedBytes) / model.totalBytes;
    if (day >= settledSince) {
      used.push(usedPercent);
      if (usedPercent < unfilledPercent && day > floodUntil) daysBelow85 += 1;
    }
    if (day % sampleEvery === 0 || day === trace.days - 1) samples.push(sampleOf(model, day, usedPercent));
  }
  used.sort((a, b) => a - b);
  const end = firstDay + trace.days * dayMs;
  const historyDays = new Map<string, number>();
  const snapshots = new Map<string, number>();
  for (const name of trace.clients) {
    const its = model.client(name).snapshots;
    historyDays.set(name, its[0] === undefined ? 0 : Math.round((end - its[0]) / dayMs));
    snapshots.set(name, its.length);
  }
  const {
    outOfSpace,
    minFreePercent,
    minSnapshots,
    unfairEvictions,
    heldEvictions,
    evictions,
    ownDemandEvictions,
    incidents,
  } = simulation;
  return {
    days: trace.days,
    outOfSpace,
    minFreePercent,
    minSnapshots: Number.isFinite(minSnapshots) ? minSnapshots : settings.keepLast,
    unfairEvictions,
    heldEvictions,
    evictions,
    ownDemandEvictions,
    filledOnDay,
    daysBelow85,
    medianUsedPercent: used[used.length >> 1] ?? samples.at(-1)?.usedPercent ?? 0,
    historyDays,
    snapshots,
    incidents,
    samples,
  };
}

function sampleOf(model: StoreModel, day: number, usedPercent: number): Sample {
  const now = firstDay + (day + 1) * dayMs;
  const ages = new Map<string, number[]>();
  for (const [name, { snapshots }] of model.clients)
    ages.set(
      name,
      snapshots.map((time) => (now - time) / dayMs),
    );
  return { day, usedPercent, ages };
}
