import { signalDescendants } from './progress.ts';

/** How room is made for a run while it writes. Bytes are those above the reserve. */
export interface MoreRoom {
  /** With less room than this, more is asked for. */
  readonly lowBytes: number;
  /** Asks root for more: what it answers is why there is none, or undefined. */
  readonly ask: () => Promise<string | undefined>;
}

/** A program that is stopped has its connection silent; no longer than this, in milliseconds. */
const longestStopMs = 120_000;

/**
 * Asks for room as a run uses it up, one step at a time. While little is left and the answer is awaited, the writers are stopped:
 * a deletion takes seconds, and a fast client would be ended at the reserve while its room is being made.
 */
export class RoomAsker {
  readonly #pid: number;
  readonly #more: MoreRoom;
  #asking: Promise<void> | undefined;
  /** No more is asked for until less than this is left: the last answer was that there is none. */
  #below = Number.POSITIVE_INFINITY;
  isStopped = false;
  /** Why no more room was made, when it was asked for last. */
  why: string | undefined;

  constructor(pid: number, more: MoreRoom) {
    this.#pid = pid;
    this.#more = more;
  }

  /** With less room than this it is worth asking. Bytes above the reserve. */
  get lowBytes(): number {
    return this.#more.lowBytes;
  }

  /** Told how much room there is; returns when writing may go on. */
  async look(roomBytes: number): Promise<void> {
    const { lowBytes } = this.#more;
    if (roomBytes >= lowBytes) return;
    if (this.#asking === undefined && roomBytes < this.#below) this.#asking = this.#ask(roomBytes);
    if (this.#asking === undefined || roomBytes >= lowBytes / 2) return;
    await signalDescendants(this.#pid, 'SIGSTOP');
    this.isStopped = true;
    const timer = new AbortController();
    const longest = new Promise<void>((resolve) => {
      const timeout = setTimeout(resolve, longestStopMs);
      timer.signal.addEventListener('abort', () => clearTimeout(timeout));
    });
    await Promise.race([this.#asking, longest]);
    timer.abort();
    await signalDescendants(this.#pid, 'SIGCONT');
    this.isStopped = false;
  }

  async #ask(roomBytes: number): Promise<void> {
    this.why = await this.#more.ask().catch((error: unknown) => String(error));
    this.#below = this.why === undefined ? Number.POSITIVE_INFINITY : roomBytes - this.#more.lowBytes / 4;
    this.#asking = undefined;
  }
}
