import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { ServerConfig } from '../../config/server-config.ts';
import { type ClientName, parseClientName } from '../../protocol/names.ts';
import { type RunRecord, RunRecordSchema } from '../../protocol/run-record.ts';
import { decideAlerts } from '../../report/alerts.ts';
import { isBadRun, isEmptyRun, runReport, type ToldEvent } from '../../report/mail.ts';
import type { MailContent } from '../../report/mail-document.ts';
import { alertPayload, pingAddress, runPayload } from '../../report/webhooks.ts';
import { ageWords } from '../../report/words.ts';
import { isMissing } from '../../system/files.ts';
import { readEvents, recordEvent, type ServerEvent } from '../events.ts';
import type { HealthFinding } from '../health/check.ts';
import { findOverdue } from '../overdue.ts';
import { listClientNames, type Store } from '../store.ts';
import { isThrowAway } from '../throw-away-client.ts';
import { newFindings } from './health.ts';
import type { Post, PostState } from './spool.ts';

const minuteMs = 60_000;
/** A report waits so long for what the client's hooks after the run say. */
const endPatienceMs = 15 * minuteMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
/** Who is overdue is told at once, and then weekly. */
const remindMs = 7 * dayMs;

/** Something to send, and how long that makes sense. */
export interface Made {
  readonly post: Post;
  readonly lifeMs: number;
}

/** How long each waits for a way out. A ping that comes late says something that is no longer true. */
const lives = { mail: 5 * dayMs, start: 5 * minuteMs, end: hourMs, webhook: dayMs } as const;

export interface CollectDeps {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly registryFile: string;
  readonly server: string;
  readonly now: Date;
  /** What the health of the server is; without it only events are told. */
  readonly health?: () => Promise<readonly HealthFinding[]>;
  /** Writes an event down; a dry run does not. */
  readonly record?: (event: ServerEvent) => Promise<void>;
}

type RecordingDeps = CollectDeps & { readonly record: (event: ServerEvent) => Promise<void> };

/** A mail for each of some readers; one reader hears of one thing once. */
export function mailTo(readers: readonly string[], { subject, text, html }: MailContent): Made[] {
  return [...new Set(readers)].map((to) => ({
    post: { kind: 'mail', to: [to], subject, text, html },
    lifeMs: lives.mail,
  }));
}

/** Looks at what happened since the last time: what is to be sent now, and what is to be remembered. */
export async function collect(before: PostState, deps: CollectDeps): Promise<{ made: Made[]; state: PostState }> {
  const { store, now } = deps;
  const own: ServerEvent[] = [];
  const record = async (event: ServerEvent) => {
    own.push(event);
    await (deps.record ?? ((one) => recordEvent(store, one)))(event);
  };
  const { storeDown: _, ...state } = { ...before, runs: { ...before.runs } };
  const made: Made[] = [];
  for (const client of await listClientNames(store)) {
    if (isThrowAway(client)) continue;
    const known = before.runs[client] ?? { directoryMs: 0 };
    const { runs, directoryMs } = await newRuns(store, client, { known, begunAt: before.begunAt, now });
    for (const run of runs) made.push(...(await madeOfRun(run, { ...deps, record })));
    const begun = await begunRun(store, client);
    if (begun !== undefined && begun.run !== known.begun && begun.preparedAt > before.begunAt) {
      const { ping } = deps.config.policyOf(client);
      if (ping !== undefined && begun.state === 'open') made.push(pingOf(ping, 'start'));
    }
    const completedAt = runs.at(-1)?.completedAt ?? known.completedAt;
    const last = begun?.run ?? known.begun;
    state.runs[client] = {
      directoryMs,
      ...(completedAt === undefined ? {} : { completedAt }),
      ...(last === undefined ? {} : { begun: last }),
    };
  }
  state.overdue = await watchOverdue(before.overdue, { ...deps, record });
  const found = newFindings((await deps.health?.()) ?? [], before.health ?? {}, now);
  state.health = found.told;
  for (const event of found.events) await record(event);
  // A cursor from a time to come was written before the clock was set back.
  const since = new Date(Math.min(Date.parse(before.events), now.getTime() + minuteMs));
  const read = await readEvents(store, { since, now });
  const events = [...read, ...own.filter((one) => !read.some((event) => isSame(event, one)))];
  state.events = events.at(-1)?.at ?? since.toISOString();
  const { rare, seldom } = withoutRepeats(events, before.seldom ?? {});
  state.seldom = seldom;
  const told = alertsFor(rare, before.floods, deps);
  return { made: [...made, ...told.made], state: { ...state, floods: told.floods } };
}

/** An event that could not be written, on a full disk say, is told all the same. */
function isSame(one: ServerEvent, other: ServerEvent): boolean {
  return one.at === other.at && one.kind === other.kind && one.client === other.client && one.check === other.check;
}

function pingOf(address: string, signal: 'start' | 'success' | 'fail'): Made {
  const post = { kind: 'call', address: pingAddress(address, signal) } as const;
  return { post, lifeMs: signal === 'start' ? lives.start : lives.end };
}

async function madeOfRun(run: RunRecord, { config, server, now, record }: RecordingDeps): Promise<Made[]> {
  const { report, errors, ping, webhook } = config.policyOf(run.client);
  const readers = isBadRun(run) && !isEmptyRun(run) ? [...report, ...(errors ?? config.mail.admin)] : report;
  const body = runPayload(run, server) as Record<string, unknown>;
  if (isEmptyRun(run)) {
    await record({
      at: now.toISOString(),
      kind: 'empty',
      client: run.client,
      run: run.run,
      what: `${run.client} sent a backup with nothing in it`,
      why: 'the run ended well, but its sources hold no files',
    });
  }
  return [
    ...mailTo(readers, runReport(run, { server })),
    ...(ping === undefined ? [] : [pingOf(ping, isBadRun(run) ? 'fail' : 'success')]),
    ...(webhook === undefined
      ? []
      : [{ post: { kind: 'call', address: webhook, body } as const, lifeMs: lives.webhook }]),
  ];
}

/** The completed runs of a client that nobody was told of, oldest first. */
async function newRuns(
  store: Store,
  client: ClientName,
  { known, begunAt, now }: { known: PostState['runs'][string]; begunAt: string; now: Date },
): Promise<{ runs: RunRecord[]; directoryMs: number }> {
  const directory = store.runRecordsDir(client);
  try {
    const { mtimeMs: directoryMs } = await stat(directory);
    if (directoryMs === known.directoryMs) return { runs: [], directoryMs };
    const after = known.completedAt ?? begunAt;
    const names = (await readdir(directory)).filter((name) => /^[0-9a-f]{32}\.json$/.test(name));
    const records = await Promise.all(
      names.map(async (name) => {
        const path = join(directory, name);
        // An hour of grace: a file is written after the time that stands in it.
        if ((await stat(path)).mtimeMs < Date.parse(after) - hourMs) return undefined;
        return parseRecord(await readFile(path, 'utf8'));
      }),
    );
    const runs = records
      .filter((record) => record !== undefined)
      .filter(({ completedAt }) => completedAt !== undefined && completedAt > after)
      .toSorted((a, b) => ((a.completedAt ?? '') < (b.completedAt ?? '') ? -1 : 1));
    const newest = runs.at(-1);
    // Its hooks are still at work on the client: what they say belongs into the same mail. Looked at again until then.
    if (newest?.awaitsEnd === true && now.getTime() - Date.parse(newest.completedAt ?? '') < endPatienceMs) {
      return { runs: runs.slice(0, -1), directoryMs: 0 };
    }
    return { runs, directoryMs };
  } catch (error) {
    if (isMissing(error)) return { runs: [], directoryMs: 0 };
    throw error;
  }
}

async function begunRun(store: Store, client: ClientName): Promise<RunRecord | undefined> {
  try {
    return parseRecord(await readFile(store.runFile(client), 'utf8'));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** A record that cannot be understood is told of elsewhere: doctor and the client's next run. */
export function parseRecord(text: string): RunRecord | undefined {
  try {
    const { success, output } = v.safeParse(RunRecordSchema, JSON.parse(text));
    return success ? output : undefined;
  } catch {
    return undefined;
  }
}

/** Records an event for each client that became overdue, or still is after a week. */
async function watchOverdue(before: PostState['overdue'], deps: RecordingDeps): Promise<PostState['overdue']> {
  const { now, record } = deps;
  const overdue: PostState['overdue'] = {};
  for (const { client, since, hasSnapshots, longestSilenceMs } of await findOverdue(deps, now)) {
    const told = before[client];
    if (told !== undefined && now.getTime() - Date.parse(told) < remindMs) {
      overdue[client] = told;
      continue;
    }
    overdue[client] = now.toISOString();
    const age = ageWords(now.getTime() - since.getTime());
    await record({
      at: now.toISOString(),
      kind: 'overdue',
      client,
      what: hasSnapshots
        ? `no backup of ${client} for ${age}`
        : `${client} was registered ${age} ago and has sent nothing`,
      why: `one is expected at least every ${ageWords(longestSilenceMs)}`,
    });
  }
  return overdue;
}

/** What every prune finds again is told daily. */
const repeatedKinds = new Set(['pruning-waits', 'clock', 'state']);

function withoutRepeats(events: readonly ServerEvent[], before: Readonly<Record<string, string>>) {
  const seldom: Record<string, string> = { ...before };
  const rare = events.filter(({ kind, at, client }) => {
    if (client !== undefined && isThrowAway(client)) return false;
    if (!repeatedKinds.has(kind)) return true;
    const told = seldom[kind];
    if (told !== undefined && Math.abs(Date.parse(at) - Date.parse(told)) < dayMs) return false;
    seldom[kind] = at;
    return true;
  });
  return { rare, seldom };
}

/** Kinds that are the client's own affair, too: told to its own address besides the admin's. */
const ownKinds = new Set(['run-failed', 'hook', 'overdue', 'empty', 'growth', 'destroys']);
/** Of these a watcher from outside hears that the run failed. */
const failedKinds = new Set(['run-failed', 'growth']);

/** The mails and calls that some events make, per reader. */
export function alertsFor(
  events: readonly ToldEvent[],
  before: PostState['floods'],
  { config, server, now }: Pick<CollectDeps, 'config' | 'server' | 'now'>,
): { made: Made[]; floods: PostState['floods'] } {
  const made: Made[] = [];
  const byReader = new Map<string, ToldEvent[]>(Object.keys(before).map((reader) => [reader, []]));
  const byHook = new Map<string, ToldEvent[]>();
  const add = (map: Map<string, ToldEvent[]>, key: string, event: ToldEvent) =>
    map.set(key, [...(map.get(key) ?? []), event]);
  const failed = new Set<string>();
  for (const event of events) {
    const client = event.client === undefined ? undefined : parseClientName(event.client);
    const policy = client === undefined ? undefined : config.policyOf(client);
    const own = policy !== undefined && ownKinds.has(event.kind) ? (policy.errors ?? policy.report) : [];
    // Refusals have a count of their own, so that a flood of them holds back nothing else.
    const topic = event.kind === 'refusal' ? 'refusals' : 'alerts';
    for (const reader of new Set([...config.mail.admin, ...own])) add(byReader, `${topic} ${reader}`, event);
    const hook = policy?.webhook ?? config.webhook;
    if (hook !== undefined) add(byHook, hook, event);
    if (policy?.ping !== undefined && failedKinds.has(event.kind)) failed.add(policy.ping);
  }
  const floods: PostState['floods'] = {};
  for (const [key, its] of byReader) {
    const { mails, flood } = decideAlerts(before[key], its, now, { server });
    made.push(...mails.flatMap((mail) => mailTo([key.slice(key.indexOf(' ') + 1)], mail)));
    if (flood !== undefined) floods[key] = flood;
  }
  for (const [address, its] of byHook) {
    const body = alertPayload(its, server) as Record<string, unknown>;
    made.push({ post: { kind: 'call', address, body }, lifeMs: lives.webhook });
  }
  made.push(...[...failed].map((address) => pingOf(address, 'fail')));
  return { made, floods };
}
