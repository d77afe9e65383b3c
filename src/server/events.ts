import { readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { reasonOf } from '../errors.ts';
import { escapeName, unescapeName } from '../protocol/file-name.ts';
import { appendLines } from '../system/append-lines.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';
import { tryLock } from '../system/lock.ts';
import { logSecurityEvent } from '../system/system-log.ts';
import { type Counters, CountersSchema, count, due } from './event-counting.ts';
import type { Store } from './store.ts';

const Text = v.pipe(v.string(), v.maxLength(2000));

/** One line of `.byteback/events.jsonl`: something the admin should hear of. Every text is escaped already. */
export const ServerEventSchema = v.object({
  /** ISO time, the server's clock. */
  at: v.pipe(v.string(), v.isoTimestamp()),
  /**
   * What sort of thing it is: refusal, hook, growth, destroys, clock, bitrot, drill, nested, overdue, empty, run-failed, pruning-waits;
   * open, so that a new one needs no change here.
   */
  kind: Text,
  client: v.optional(Text),
  run: v.optional(Text),
  what: Text,
  why: v.optional(Text),
  /** Of a refusal: the check that failed, such as `from` or `window`. */
  check: v.optional(Text),
  /** Where somebody who was refused came from. */
  address: v.optional(Text),
  /** When it was, for what is told later. */
  happenedAt: v.optional(v.string()),
  /** What ran on either side, and the last of what it printed. */
  steps: v.optional(
    v.array(
      v.object({ step: Text, name: Text, exitCode: v.nullable(v.number()), timedOut: v.boolean(), output: v.string() }),
    ),
  ),
  /** What to do, where the kind does not say it. */
  fix: v.optional(Text),
  /** How many alike this line stands for: those that came too fast for a line each. 1 when it is missing. */
  count: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
});
export type ServerEvent = v.InferOutput<typeof ServerEventSchema>;

/** A file larger than this is put aside, and the one put aside before it is gone: events never fill the disk. Bytes. */
const maxFileBytes = 4 * 1024 * 1024;

const lockPatienceMs = 10_000;

const eventsFile = (store: Store) => join(store.stateDir, 'events.jsonl');
const olderFile = (store: Store) => join(store.stateDir, 'events.older.jsonl');
const countersFile = (store: Store) => join(store.stateDir, 'events-counters.json');
const lockFile = (store: Store) => join(store.stateDir, 'events.lock');

/**
 * Appends an event; root only. Many alike within a short time become one line with their number (see
 * `event-counting.ts`), so that a hostile client can neither fill the disk nor hide others' events. Never throws: an event
 * that cannot be written, on a full disk say, stands in the system's log at least, and what it tells of goes on.
 */
export async function recordEvent(store: Store, event: ServerEvent): Promise<void> {
  try {
    await withEvents(store, async () => {
      const counted = count(await readCounters(store), safe(event));
      await append(store, counted.write);
      await writeCounters(store, counted.counters);
    });
  } catch (error) {
    await logSecurityEvent(`cannot record an event: ${safeText(`${reasonOf(error)}: ${event.kind}: ${event.what}`)}`);
  }
}

/**
 * The events, oldest first. Those that were only counted so far appear once the time of counting is over; with
 * `uncounted` at once, for a person who is looking.
 * @param since only those after this time.
 */
export async function readEvents(
  store: Store,
  { since, uncounted = false, now = new Date() }: { since?: Date; uncounted?: boolean; now?: Date } = {},
): Promise<ServerEvent[]> {
  const counters = await withEvents(store, async () => {
    const settled = due(await readCounters(store), now);
    if (settled.write.length > 0) {
      await append(store, settled.write);
      await writeCounters(store, settled.counters);
    }
    return settled.counters;
  }).catch(async (error: unknown) => {
    // On a disk that is full or read-only nothing can be locked or written down: what is there is told all the same.
    if (!['EROFS', 'ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return await readCounters(store);
  });
  const lines = [...(await readLines(olderFile(store))), ...(await readLines(eventsFile(store)))];
  if (uncounted) lines.push(...due(counters, undefined).write);
  const after = since?.toISOString() ?? '';
  return lines
    .filter(({ at }) => at > after)
    .sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0));
}

async function withEvents<T>(store: Store, work: () => Promise<T>): Promise<T> {
  for (const begun = performance.now(); ; ) {
    const lock = await tryLock(lockFile(store), { create: true });
    if (lock !== undefined) {
      try {
        return await work();
      } finally {
        await lock.release();
      }
    }
    if (performance.now() - begun > lockPatienceMs) throw new Error(`${lockFile(store)} is locked`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function append(store: Store, events: readonly ServerEvent[]): Promise<void> {
  if (events.length === 0) return;
  const path = eventsFile(store);
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size > maxFileBytes) await rename(path, olderFile(store));
  await appendLines(path, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  for (const { kind, client, run, address, check, what, why, count: number } of events) {
    const parts = [client, run, address, check, why, number === undefined ? undefined : `${number} times`];
    await logSecurityEvent([`${kind}: ${what}`, ...parts.filter((part) => part !== undefined)].join('; '));
  }
}

async function readLines(path: string): Promise<ServerEvent[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').flatMap(parseLine);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function parseLine(line: string): ServerEvent[] {
  if (line === '') return [];
  try {
    const parsed = v.safeParse(ServerEventSchema, JSON.parse(line));
    return parsed.success ? [parsed.output] : [];
  } catch {
    // A line that a crash left half written tells nothing.
    return [];
  }
}

async function readCounters(store: Store): Promise<Counters> {
  try {
    return v.parse(CountersSchema, JSON.parse(await readFile(countersFile(store), 'utf8')));
  } catch {
    // Missing or damaged: only the count of what came too fast in the last hour is lost.
    return {};
  }
}

async function writeCounters(store: Store, counters: Counters): Promise<void> {
  await writeFileAtomically(countersFile(store), `${JSON.stringify(counters)}\n`, { mode: 0o600 });
}

/** Short, and without anything that steers a terminal or begins a line; what is escaped already stays as it is. */
function safeText(text: string): string {
  const safe = escapeName(unescapeName(text));
  return safe.length > 1000 ? `${safe.slice(0, 999)}…` : safe;
}

/** Every text of an event, whoever worded it. */
function safe(event: ServerEvent): ServerEvent {
  const texts = ['kind', 'client', 'run', 'what', 'why', 'check', 'address'] as const;
  const safeTexts = texts.flatMap((name) => {
    const text = event[name];
    return text === undefined ? [] : [[name, safeText(text)] as const];
  });
  return { ...event, ...Object.fromEntries(safeTexts) };
}
