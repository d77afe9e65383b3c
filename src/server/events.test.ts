import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Counters, count, due, linesPerSpan } from './event-counting.ts';
import { readEvents, recordEvent, type ServerEvent } from './events.ts';
import { type Store, storeAt } from './store.ts';

const refusalAt = (ms: number, client = 'web1', check = 'from'): ServerEvent => ({
  at: new Date(1_795_000_000_000 + ms).toISOString(),
  kind: 'refusal',
  client,
  what: 'prepare is refused',
  check,
});
const sum = (events: readonly ServerEvent[]) => events.reduce((total, event) => total + (event.count ?? 1), 0);

test('a thousand in a minute are four lines and one with the number of the rest', () => {
  let counters: Counters = {};
  const written: ServerEvent[] = [];
  for (let n = 0; n < 1000; n += 1) {
    const counted = count(counters, refusalAt(n * 59));
    counters = counted.counters;
    written.push(...counted.write);
  }
  written.push(...due<ServerEvent>(counters, new Date(refusalAt(60_001).at)).write);
  expect(written).toHaveLength(linesPerSpan + 1);
  expect(written.at(-1)?.count).toBe(1000 - linesPerSpan);
  expect(written.at(-1)?.at).toBe(refusalAt(60_001).at);
});

test('a client that goes on for a day leaves few lines, and each attempt is counted once', () => {
  let counters: Counters = {};
  const written: ServerEvent[] = [];
  const attempts = 24 * 3600;
  for (let second = 0; second < attempts; second += 1) {
    const counted = count(counters, refusalAt(second * 1000));
    counters = counted.counters;
    written.push(...counted.write);
  }
  written.push(...due<ServerEvent>(counters, undefined).write);
  expect(sum(written)).toBe(attempts);
  expect(written.length).toBeLessThan(200);
});

test("one client's flood does not hide another's event", () => {
  let counters: Counters = {};
  for (let n = 0; n < 1500; n += 1) counters = count(counters, refusalAt(n, `web${n % 1200}`)).counters;
  expect(Object.keys(counters).length).toBeLessThanOrEqual(1001);
  expect(count({ ...count({}, refusalAt(0)).counters }, refusalAt(1, 'db1')).write).toEqual([refusalAt(1, 'db1')]);
});

let directory: string;
let store: Store;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'byteback-events-'));
  store = { ...storeAt(directory), stateDir: directory };
});
afterEach(() => rm(directory, { recursive: true }));

test('events are written by several at once and read since a time', async () => {
  await Promise.all(['a', 'b', 'c', 'd', 'e'].map((client, n) => recordEvent(store, refusalAt(n * 1000, client))));
  const now = new Date(refusalAt(5000).at);
  expect((await readEvents(store, { now })).map(({ client }) => client)).toEqual(['a', 'b', 'c', 'd', 'e']);
  const since = new Date(refusalAt(2000).at);
  expect((await readEvents(store, { since, now })).map(({ client }) => client)).toEqual(['d', 'e']);
  expect((await stat(join(directory, 'events.jsonl'))).mode & 0o777).toBe(0o600);
});

test('what was only counted is there at once for who looks, and for all when the time is over', async () => {
  for (let n = 0; n < 7; n += 1) await recordEvent(store, refusalAt(n));
  const soon = new Date(refusalAt(1000).at);
  expect(sum(await readEvents(store, { now: soon }))).toBe(linesPerSpan);
  expect(sum(await readEvents(store, { now: soon, uncounted: true }))).toBe(7);
  const later = new Date(refusalAt(61_000).at);
  expect(sum(await readEvents(store, { now: later }))).toBe(7);
  expect(sum(await readEvents(store, { now: later, since: soon }))).toBe(7 - linesPerSpan);
});

test('the file does not grow without end, and a damaged line is passed over', async () => {
  const file = join(directory, 'events.jsonl');
  const line = `${JSON.stringify(refusalAt(0, 'old'))}\n`;
  await writeFile(file, `${line.repeat(Math.ceil((4 * 1024 * 1024) / line.length) + 1)}{"at": half`);
  await recordEvent(store, refusalAt(1, 'new'));
  expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(2);
  expect((await readEvents(store, { now: new Date(refusalAt(2).at) })).at(-1)?.client).toBe('new');
});

test('a disk that takes nothing fails nobody', async () => {
  await rm(directory, { recursive: true });
  await expect(recordEvent(store, refusalAt(0))).resolves.toBeUndefined();
  await import('node:fs/promises').then(({ mkdir }) => mkdir(directory));
});
