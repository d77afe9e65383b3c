import { readdir, readFile } from 'node:fs/promises';

/** What the processes of a session have done so far, summed up. */
export interface Work {
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Processor time, in ticks of 10 ms. */
  readonly ticks: number;
}

/**
 * Less than this is no progress: a receiver whose peer has stopped still sends a few bytes now and then to keep the
 * connection alive, for as long as they fit somewhere.
 */
const leastWrittenBytes = 16_384;
/** A receiver that only deletes or lists reads and writes nothing, but works. */
const leastTicks = 20;

/** So many times the patience for silence a program may be busy without moving a byte; then it is as good as silent. */
export const mostBusyIdles = 6;

/** True when bytes came or went between two moments, more than a stopped peer explains. */
export function hasMoved(before: Work, after: Work): boolean {
  return after.readBytes > before.readBytes || after.writtenBytes - before.writtenBytes >= leastWrittenBytes;
}

/** True when something was done between two moments that a stopped peer does not explain. */
export function isProgress(before: Work, after: Work): boolean {
  return hasMoved(before, after) || after.ticks - before.ticks >= leastTicks;
}

/** Adds up the work of a process and all below it over time; what has ended by then still counts. */
export class WorkMeter {
  readonly #pid: number;
  #last: ReadonlyMap<number, Work> = new Map();
  #total: Work = nothing;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** All work until now. */
  async read(): Promise<Work> {
    const pids = await withDescendants(this.#pid);
    const now = new Map(await Promise.all(pids.map(async (pid) => [pid, await workOfOne(pid)] as const)));
    for (const [pid, work] of now) this.#total = addWork(this.#total, work, this.#last.get(pid) ?? nothing);
    this.#last = now;
    return this.#total;
  }
}

/** The total with what came to one process since it was last looked at. A number may have gone to a new process. */
function addWork(total: Work, now: Work, before: Work): Work {
  return {
    readBytes: total.readBytes + Math.max(0, now.readBytes - before.readBytes),
    writtenBytes: total.writtenBytes + Math.max(0, now.writtenBytes - before.writtenBytes),
    ticks: total.ticks + Math.max(0, now.ticks - before.ticks),
  };
}

const nothing: Work = { readBytes: 0, writtenBytes: 0, ticks: 0 };

/** More processes than this are no rsync. */
const mostProcesses = 256;

export async function withDescendants(pid: number): Promise<number[]> {
  const found = [pid];
  for (let at = 0; at < found.length && found.length < mostProcesses; at += 1) {
    found.push(...(await childrenOf(found[at] as number)));
  }
  return found;
}

/** Sends a signal to all processes below one. That one is bubblewrap itself, which has to see the end of the others. */
export async function signalDescendants(pid: number, signal: NodeJS.Signals): Promise<void> {
  for (const each of (await withDescendants(pid)).slice(1)) {
    try {
      process.kill(each, signal);
    } catch {
      // It has ended.
    }
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  try {
    const threads = await readdir(`/proc/${pid}/task`);
    const lists = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')));
    return lists.flatMap((list) =>
      list
        .split(' ')
        .filter((text) => text !== '')
        .map(Number),
    );
  } catch {
    // It has ended.
    return [];
  }
}

async function workOfOne(pid: number): Promise<Work> {
  try {
    const [io, stat] = await Promise.all([readFile(`/proc/${pid}/io`, 'utf8'), readFile(`/proc/${pid}/stat`, 'utf8')]);
    return { ...parseIo(io), ticks: parseTicks(stat) };
  } catch {
    // It has ended.
    return nothing;
  }
}

export function parseIo(text: string): Omit<Work, 'ticks'> {
  const field = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return { readBytes: field('rchar'), writtenBytes: field('wchar') };
}

/** User and system time: the 14th and 15th fields; the second may hold spaces and brackets. */
export function parseTicks(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}
