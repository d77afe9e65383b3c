import { totalmem } from 'node:os';
import { BytebackError, reasonOf } from '../../errors.ts';
import { exactRoomOf, type Glance, glanceAtRoom, type Room, storeFull } from '../runs/space.ts';
import { explainStoreTrouble } from '../store-trouble.ts';
import type { RoomAsker } from './more-room.ts';
import { signalDescendants } from './progress.ts';
import { waited } from './waited.ts';

/** How fast a client could fill the disk at most, in bytes per millisecond: it decides when to look again. */
export const fastestFillPerMs = 1_000_000;

const longestPollMs = 5000;
/** With little room the next look is soon. */
const shortestPollMs = 20;
/** The same where each look has to write everything out first. */
const shortestInexactPollMs = 250;
/**
 * A session ends this far above the reserve, in bytes: what is written between two looks must stay above it. Measured on a machine
 * with a load of six times its processors: up to 24 MiB were written before the next look came.
 */
const mostMarginBytes = 64 * 1024 * 1024;

/** What is watched, and how far down it may go. */
export interface SpaceWatch {
  readonly pid: number;
  /** A path on the store. */
  readonly path: string;
  /** Asks root for more room, where that may be fair. */
  readonly asker: RoomAsker | undefined;
  /** Less than 0 for a run that needs nothing, which may go a little way into the reserve. Bytes above the reserve. */
  readonly endBelowBytes: number;
}

/**
 * Ends a session before the store is as full as it may be, of data or of metadata. A glance counts what is only in memory, and
 * costs nothing. Only when little is left, everything is written out to see what it takes; the session's programs are stopped
 * meanwhile, so that they do not write on.
 */
export async function watchSpace(
  { pid, path, asker, endBelowBytes }: SpaceWatch,
  signal: AbortSignal,
  endIt: (why: BytebackError) => void,
): Promise<void> {
  let margins: Margins | undefined;
  let shortestMs = shortestPollMs;
  for (let pollMs = 0; await waited(pollMs, signal); ) {
    let left: Left;
    try {
      let glance = await glanceAtRoom(path);
      margins ??= marginsOf(glance, endBelowBytes);
      if (asker !== undefined && glance.bytes < asker.lowBytes) {
        const exact = await whileStopped(pid, () => exactRoomOf(path));
        await asker.look(exact.bytes);
        glance = await glanceAtRoom(path);
      }
      left = leastLeft(glance, margins);
      // Where the kernel does not show what is in memory, that may be a part of the memory.
      const enoughBytes = glance.isExact ? left.marginBytes : totalmem() / 2;
      if (left.bytes <= enoughBytes) left = leastLeft(await whileStopped(pid, () => exactRoomOf(path)), margins);
      if (!glance.isExact) shortestMs = shortestInexactPollMs;
    } catch (error) {
      endIt(explained(error, path));
      return;
    }
    if (signal.aborted) return;
    if (left.bytes <= 0) {
      endIt(storeFull(left.room, undefined, asker?.why));
      return;
    }
    pollMs = Math.min(longestPollMs, Math.max(shortestMs, left.bytes / fastestFillPerMs));
  }
}

/** How far above the reserve a session ends, of data and of metadata. Bytes. */
type Margins = ReadonlyMap<Room['of'], number>;

/** A session that begins with little room, and writes little, takes no more than that: it is not ended for what it found. */
function marginsOf({ each }: Glance, endBelowBytes: number): Margins {
  const marginOf = (bytes: number) =>
    endBelowBytes < 0 ? endBelowBytes : Math.max(0, Math.min(mostMarginBytes, bytes / 4));
  return new Map(each.map(({ of, bytes }) => [of, marginOf(bytes)]));
}

/** The room that comes to its end first. */
interface Left {
  /** Until the session is ended. */
  readonly bytes: number;
  readonly room: Room;
  readonly marginBytes: number;
}

function leastLeft({ each }: Glance, margins: Margins): Left {
  const all = each.map((room) => {
    const marginBytes = margins.get(room.of) ?? 0;
    return { bytes: room.bytes - marginBytes, room, marginBytes: Math.abs(marginBytes) };
  });
  return all.reduce((least, one) => (one.bytes < least.bytes ? one : least));
}

function explained(error: unknown, path: string): BytebackError {
  const known = explainStoreTrouble(error, path);
  if (known instanceof BytebackError) return known;
  return new BytebackError('storeFailed', {
    what: 'the free space of the store cannot be told',
    why: reasonOf(error),
    fix: 'on the server, look at: byteback doctor',
  });
}

/** Does something while all programs below one are stopped. */
async function whileStopped<T>(pid: number, action: () => Promise<T>): Promise<T> {
  await signalDescendants(pid, 'SIGSTOP');
  try {
    return await action();
  } finally {
    await signalDescendants(pid, 'SIGCONT');
  }
}
