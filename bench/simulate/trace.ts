import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';

/** Something that happens on a day. */
export interface TraceEvent {
  readonly day: number;
  readonly kind: 'disk' | 'flood' | 'ransomware' | 'vanishes' | 'returns';
  readonly client: string;
  readonly value: number;
}

/** Bytes that a client's backup of one day writes, and the day whose backup no longer has them. */
export interface Written {
  readonly bytes: number;
  /** Infinity when they stay to the end. */
  readonly diesDay: number;
}

/** What a store is fed with. */
export interface Trace {
  readonly days: number;
  readonly clients: readonly string[];
  /** By day. */
  readonly events: ReadonlyMap<number, readonly TraceEvent[]>;
  /** By day, then by client; no entry means no backup. */
  readonly runs: ReadonlyMap<number, ReadonlyMap<string, Written[]>>;
}

const kinds: readonly string[] = ['disk', 'flood', 'ransomware', 'vanishes', 'returns'];

/** Gathers lines of a trace, whether they are read or generated. */
export class TraceBuilder {
  readonly #events = new Map<number, TraceEvent[]>();
  readonly #runs = new Map<number, Map<string, Written[]>>();
  readonly #clients = new Set<string>();
  #last = 0;

  event(event: TraceEvent): void {
    const events = this.#events.get(event.day) ?? [];
    this.#events.set(event.day, events);
    events.push(event);
  }

  written(day: number, client: string, bytes: number, diesDay: number): void {
    const ofDay = this.#runs.get(day) ?? new Map<string, Written[]>();
    this.#runs.set(day, ofDay);
    const ofClient = ofDay.get(client) ?? [];
    ofDay.set(client, ofClient);
    ofClient.push({ bytes, diesDay: diesDay < 0 ? Number.POSITIVE_INFINITY : diesDay });
    this.#clients.add(client);
    if (day > this.#last) this.#last = day;
  }

  build(): Trace {
    return { days: this.#last + 1, clients: [...this.#clients].sort(), events: this.#events, runs: this.#runs };
  }
}

/**
 * Reads a trace, gzipped or not: tab-separated `event DAY KIND CLIENT VALUE` and `data BORN_DAY CLIENT BYTES DIES_DAY`.
 * @throws Error that names the line.
 */
export async function readTrace(path: string): Promise<Trace> {
  const builder = new TraceBuilder();
  const file = createReadStream(path);
  const text = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  file.on('error', (error) => text.destroy(error));
  let number = 0;
  for await (const line of createInterface({ input: text, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    if (line === '' || line.startsWith('#')) continue;
    const [form, first, second = '', third = '', last] = line.split('\t');
    const day = Number(first);
    const value = Number(last);
    if (!Number.isInteger(day) || day < 0 || !Number.isFinite(value))
      throw new Error(`${path}:${number}: no day or no value in it`);
    if (form === 'event' && kinds.includes(second)) {
      builder.event({ day, kind: second as TraceEvent['kind'], client: third, value });
    } else if (form === 'data' && Number(third) >= 0) {
      builder.written(day, second, Number(third), value);
    } else {
      throw new Error(`${path}:${number}: neither an event nor data that is known`);
    }
  }
  const trace = builder.build();
  if (!trace.events.get(0)?.some(({ kind }) => kind === 'disk'))
    throw new Error(`${path}: no size of the disk on day 0`);
  return trace;
}
