import { performance } from 'node:perf_hooks';
import { BytebackError } from '../../errors.ts';
import { freeSpace, syncFileSystem } from '../../system/btrfs.ts';
import type { RunningProgram } from '../../system/run.ts';
import { noJail, whyNoJail } from '../sandbox/jail.ts';
import { isThere, sessionOfSshd } from './connection.ts';
import { diskErrorIn } from './disk-errors.ts';
import { readErrorLines } from './error-lines.ts';
import { type MoreRoom, RoomAsker } from './more-room.ts';
import { hasMoved, isProgress, mostBusyIdles, WorkMeter } from './progress.ts';
import { waited } from './waited.ts';
import { fastestFillPerMs, watchSpace } from './watch-space.ts';

/** What a session's rsync is held to. */
export interface Limits {
  /** Without progress for this long it is ended. */
  readonly idleTimeoutMs: number;
  /** A path in the store whose free space is watched; undefined for sessions that only read. */
  readonly watchSpaceAt?: string;
  /** Asks for more room while there is little. */
  readonly more?: MoreRoom;
  /** The room, above the reserve, at which it is ended; 0, or less for a run that needs nothing. Bytes. */
  readonly endBelowBytes?: number;
  /** When it has written more than `limitBytes` and less than `floorBytes` are free it is ended, with this error. */
  readonly growth?: { readonly limitBytes: number; readonly floorBytes: number; readonly failure: () => BytebackError };
}

/** How a supervised program ended. */
export interface Ended {
  /** Its own, or 128 + signal. */
  readonly exitCode: number;
  /** Set when the server ended it, the disk refused, or the jail could not be built. */
  readonly failure: BytebackError | undefined;
}

/** How often the work of the processes is looked at. */
const longestPollMs = 5000;

/**
 * Waits for a program in the jail and watches over it: it is ended when it makes no progress, or when the free space
 * falls below the reserve. Its messages go to `onLine`.
 */
export async function supervise(
  program: RunningProgram,
  limits: Limits,
  onLine: (line: string) => void,
): Promise<Ended> {
  let failure: BytebackError | undefined;
  const endIt = (why: BytebackError) => {
    failure ??= why;
    // bwrap's end ends everything in the jail, in whatever state it is.
    program.kill('SIGKILL');
  };
  const lines =
    program.stderr === null
      ? Promise.resolve()
      : readErrorLines(program.stderr, (line) => {
          // A file that cannot be read is named by rsync, and the others are sent all the same.
          if (limits.watchSpaceAt !== undefined) failure ??= diskErrorIn(line);
          const jail = whyNoJail(line);
          if (jail !== undefined) failure ??= noJail(jail);
          onLine(line);
        });
  const stop = new AbortController();
  const asker = limits.more === undefined ? undefined : new RoomAsker(program.pid, limits.more);
  const watches = [
    watchConnection(stop.signal, endIt),
    watchProgress(program.pid, limits.idleTimeoutMs, stop.signal, endIt, () => asker?.isStopped === true),
    ...(limits.watchSpaceAt === undefined
      ? []
      : [
          watchSpace(
            { pid: program.pid, path: limits.watchSpaceAt, asker, endBelowBytes: limits.endBelowBytes ?? 0 },
            stop.signal,
            endIt,
          ),
        ]),
    ...(limits.growth === undefined || limits.watchSpaceAt === undefined
      ? []
      : [watchGrowth(program.pid, limits.watchSpaceAt, limits.growth, stop.signal, endIt)]),
  ];
  const [{ exitCode }] = await Promise.all([program.ended, lines]);
  stop.abort();
  await Promise.all(watches);
  return { exitCode, failure };
}

/** How often the connection is looked for. */
const connectionPollMs = 2000;

/** A program that is busy does not notice that nobody is there any more. */
async function watchConnection(signal: AbortSignal, endIt: (why: BytebackError) => void): Promise<void> {
  const session = await sessionOfSshd();
  if (session === undefined) return;
  while (await waited(connectionPollMs, signal)) {
    if (await isThere(session)) continue;
    endIt(
      new BytebackError('unreachable', {
        what: 'the server ended the session',
        why: 'the connection is gone',
        fix: 'look at the connection, and try again',
      }),
    );
    return;
  }
}

async function watchProgress(
  pid: number,
  idleMs: number,
  signal: AbortSignal,
  endIt: (why: BytebackError) => void,
  isStopped: () => boolean,
): Promise<void> {
  const meter = new WorkMeter(pid);
  let mark = await meter.read();
  let since = performance.now();
  let moved = mark;
  let movedAt = since;
  const pollMs = Math.min(longestPollMs, Math.max(50, idleMs / 10));
  while (await waited(pollMs, signal)) {
    const now = await meter.read();
    // A program that waits for room is stopped by us, not silent.
    const waits = isStopped();
    if (hasMoved(moved, now) || waits) {
      moved = now;
      movedAt = performance.now();
    }
    // Processor time alone is progress for a while: deleting and listing move no bytes.
    if (waits || (isProgress(mark, now) && performance.now() - movedAt < mostBusyIdles * idleMs)) {
      mark = now;
      since = performance.now();
    } else if (performance.now() - since >= idleMs) {
      endIt(
        // As good as a lost connection: trying again can help.
        new BytebackError('unreachable', {
          what: 'the server ended the session',
          why: `nothing was sent or received for ${Math.round(idleMs / 1000)} seconds`,
          fix: 'look at the connection; a slow client needs a larger idle_timeout in server.toml on the server',
        }),
      );
      return;
    }
  }
}

/** A run that announced little and writes much is ended before others would have to pay for it. */
async function watchGrowth(
  pid: number,
  path: string,
  { limitBytes, floorBytes, failure }: NonNullable<Limits['growth']>,
  signal: AbortSignal,
  endIt: (why: BytebackError) => void,
): Promise<void> {
  const meter = new WorkMeter(pid);
  let written = 0;
  for (let pollMs = 200; await waited(pollMs, signal); ) {
    written = (await meter.read()).writtenBytes;
    pollMs = Math.min(longestPollMs, Math.max(250, (limitBytes - written) / fastestFillPerMs));
    if (written <= limitBytes) continue;
    await syncFileSystem(path).catch(() => undefined);
    if (signal.aborted) return;
    if ((await freeSpace(path)).freeBytes < floorBytes) {
      endIt(failure());
      return;
    }
  }
}
