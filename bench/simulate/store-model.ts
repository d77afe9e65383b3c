import type { Written } from './trace.ts';

/** Bytes that one client wrote in one run and that leave its tree together. */
interface Extent {
  readonly bytes: number;
  readonly born: number;
  /** The day from which the trace no longer has them. */
  readonly diesDay: number;
  /** The run whose tree had them no more; Infinity while the tree has them. */
  died: number;
}

/** What a run did to the disk. */
export interface RunOutcome {
  readonly writtenBytes: number;
  /** Left the tree and are still held by a snapshot. */
  readonly diedBytes: number;
}

/** One client's tree and snapshots, byte for byte. A snapshot is known by the day and hour that it was taken at. */
class ClientModel {
  /** Times of the remaining snapshots, oldest first. */
  readonly snapshots: number[] = [];
  treeBytes = 0;
  historyBytes = 0;
  /** Extents by the first remaining snapshot that holds them. */
  readonly #byFirstHolder = new Map<number, Extent[]>();
  /** The extents of the tree by the day on which they leave it. */
  readonly #leaving = new Map<number, Extent[]>();
  #toLeave: number[] = [];

  run(time: number, day: number, written: readonly Written[]): RunOutcome & { freedBytes: number } {
    let diedBytes = 0;
    let freedBytes = 0;
    const gone = this.#toLeave.filter((diesDay) => diesDay <= day);
    if (gone.length > 0) this.#toLeave = this.#toLeave.filter((diesDay) => diesDay > day);
    for (const diesDay of gone) {
      for (const extent of this.#leaving.get(diesDay) ?? []) {
        extent.died = time;
        this.treeBytes -= extent.bytes;
        if (this.#isHeld(extent)) diedBytes += extent.bytes;
        else freedBytes += extent.bytes;
      }
      this.#leaving.delete(diesDay);
    }
    this.historyBytes += diedBytes;
    const held: Extent[] = [];
    let writtenBytes = 0;
    for (const { bytes, diesDay } of written) {
      // What was to be gone by now, had the run been refused until today, is never written.
      if (diesDay <= day) continue;
      const extent = { bytes, born: time, diesDay, died: Number.POSITIVE_INFINITY };
      held.push(extent);
      writtenBytes += bytes;
      const leaving = this.#leaving.get(diesDay);
      if (leaving !== undefined) leaving.push(extent);
      else {
        this.#leaving.set(diesDay, [extent]);
        if (Number.isFinite(diesDay)) this.#toLeave.push(diesDay);
      }
    }
    this.treeBytes += writtenBytes;
    this.#byFirstHolder.set(time, held);
    this.snapshots.push(time);
    return { writtenBytes, diedBytes, freedBytes };
  }

  #isHeld({ born }: Extent): boolean {
    const newest = this.snapshots.at(-1);
    return newest !== undefined && newest >= born;
  }

  /** Deletes a snapshot and returns the bytes that nothing holds any more. */
  delete(time: number): number {
    const at = this.snapshots.indexOf(time);
    if (at < 0) throw new Error(`no snapshot ${time}`);
    this.snapshots.splice(at, 1);
    const next = this.snapshots[at];
    if (next === undefined) throw new Error('the newest snapshot is never deleted');
    const held = this.#byFirstHolder.get(time) ?? [];
    this.#byFirstHolder.delete(time);
    const heirs = this.#byFirstHolder.get(next);
    let freed = 0;
    for (const extent of held) {
      if (extent.died <= next) freed += extent.bytes;
      else heirs?.push(extent);
    }
    this.historyBytes -= freed;
    return freed;
  }
}

/** A store without btrfs: what is on the disk, to the byte. */
export class StoreModel {
  totalBytes = 0;
  usedBytes = 0;
  readonly clients = new Map<string, ClientModel>();

  get freeBytes(): number {
    return this.totalBytes - this.usedBytes;
  }

  client(name: string): ClientModel {
    const known = this.clients.get(name);
    if (known !== undefined) return known;
    const client = new ClientModel();
    this.clients.set(name, client);
    return client;
  }

  /** @returns what it did, and the most that the disk held meanwhile: what is new is written before the old is gone. */
  run(name: string, time: number, day: number, written: readonly Written[]): RunOutcome & { peakBytes: number } {
    const { freedBytes, ...outcome } = this.client(name).run(time, day, written);
    this.usedBytes += outcome.writtenBytes;
    const peakBytes = this.usedBytes;
    this.usedBytes -= freedBytes;
    return { ...outcome, peakBytes };
  }

  delete(name: string, time: number): number {
    const freed = this.client(name).delete(time);
    this.usedBytes -= freed;
    return freed;
  }
}
