/** A real store on a small btrfs in an image file, filled without any network: for tests of pruning. */
import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerConfig } from '../../src/config/server-config.ts';
import { serverDefaults } from '../../src/config/server-config.ts';
import { type ClientName, parseClientName, parseRunId, snapshotNameAt } from '../../src/protocol/names.ts';
import type { RunRecord } from '../../src/protocol/run-record.ts';
import { createClientDirectories, createStore, type Store } from '../../src/server/store.ts';
import { createReadOnlySnapshot } from '../../src/system/btrfs.ts';
import type { Clock } from '../../src/system/clock.ts';
import type { Log } from '../../src/system/log.ts';
import { command, must } from './command.ts';

/** A store that a test made. */
export interface SmallStore {
  readonly store: Store;
  readonly config: ServerConfig;
  readonly clock: Clock & { set(time: number): void };
  readonly log: Log & { readonly lines: string[] };
  /** Unmounts it and removes the image. */
  remove(): Promise<void>;
}

export async function makeSmallStore(
  sizeBytes: number,
  policies: Record<string, { weight?: number; keep?: string }> = {},
): Promise<SmallStore> {
  const work = await mkdtemp(join(tmpdir(), 'byteback-store-'));
  const image = join(work, 'image');
  const mount = join(work, 'store');
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  await must(['mkfs.btrfs', '-q', image]);
  await mkdir(mount);
  await must(['mount', '-o', 'loop,noatime,nosuid,nodev,noexec,compress-force=zstd:1', image, mount]);
  const store = await createStore(mount, new Date());
  let now = Date.now();
  const lines: string[] = [];
  const keepLine = (text: string) => {
    lines.push(text);
  };
  return {
    store,
    config: {
      ...serverDefaults,
      store: mount,
      policyOf: (client) => ({ weight: 1, from: [], window: [], allow: [], report: [], ...policies[client] }),
    },
    clock: {
      now: () => new Date(now),
      set: (time) => {
        now = time;
      },
      sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
    },
    log: { lines, step: keepLine, info: keepLine, warn: keepLine, debug: () => undefined, progress: () => undefined },
    remove: async () => {
      // A program of a pruner that was killed may not have ended yet.
      for (let attempt = 0; attempt < 20 && (await command(['umount', mount])).exitCode !== 0; attempt += 1) {
        await new Promise((done) => setTimeout(done, 250));
      }
      await rm(work, { recursive: true });
    },
  };
}

/** A client's name out of a text that is one. */
export function clientNamed(text: string): ClientName {
  const client = parseClientName(text);
  if (client === undefined) throw new Error(`no client name: ${text}`);
  return client;
}

/** A client of a small store, whose tree is a number of files of one size. */
export class SmallClient {
  readonly name: ClientName;
  readonly #store: Store;
  readonly #fileBytes: number;
  #version = 0;
  #runs = 0;
  readonly #files = new Set<string>();
  /** What its records say that its tree holds, where that is not the truth. Bytes. */
  claimedBytes: number | undefined;

  constructor(store: Store, name: string, fileBytes: number) {
    this.#store = store;
    this.name = clientNamed(name);
    this.#fileBytes = fileBytes;
  }

  async create(): Promise<void> {
    await createClientDirectories(this.#store, this.name, { uid: 0, gid: 0 });
  }

  /** Writes some files anew, with content that cannot be compressed. */
  async write(files: Iterable<string>): Promise<void> {
    for (const file of files) {
      this.#version += 1;
      await writeFile(
        join(this.#store.fsDir(this.name), file),
        noise(`${this.name} ${this.#version}`, this.#fileBytes),
      );
      this.#files.add(file);
    }
  }

  async removeFiles(files: Iterable<string>): Promise<void> {
    for (const file of files) {
      await rm(join(this.#store.fsDir(this.name), file));
      this.#files.delete(file);
    }
  }

  /** The snapshot that a completed run leaves, with its record; `further` stands in the record instead of what it would have. */
  async snapshot(time: number, sentFiles: number, further: Partial<RunRecord> = {}): Promise<string> {
    this.#runs += 1;
    const run = parseRunId(createHash('md5').update(`${this.name} ${this.#runs}`).digest('hex'));
    if (run === undefined) throw new Error('no run id');
    const snapshot = snapshotNameAt(new Date(time));
    const at = new Date(time).toISOString();
    const record: RunRecord = {
      format: 1,
      client: this.name,
      run,
      state: 'completed',
      machineId: '0'.repeat(64),
      clientVersion: 'test',
      preparedAt: at,
      expectedBytes: 0,
      previous: null,
      transfers: [{ endedAt: at, exitCode: 0, failure: null }],
      completedAt: at,
      snapshot,
      status: 'ok',
      unread: [],
      figures: {
        durationMs: 1,
        wireBytes: 1,
        sentBytes: sentFiles * this.#fileBytes,
        sentFiles,
        files: this.#files.size,
        totalBytes: this.claimedBytes ?? this.#files.size * this.#fileBytes,
        retries: 0,
      },
      ...further,
    };
    await writeFile(this.#store.runFile(this.name), JSON.stringify(record));
    await createReadOnlySnapshot(this.#store.currentDir(this.name), this.#store.snapshotDir(this.name, snapshot));
    return snapshot;
  }
}

/** Bytes that look random and are the same each time. */
function noise(seed: string, size: number): Buffer {
  const key = createHash('md5').update(seed).digest();
  return createCipheriv('aes-128-ctr', key, key).update(Buffer.alloc(size));
}

/** Fills the disk from outside with one file until nothing more fits, and returns its size. */
export async function fillWith(path: string): Promise<number> {
  const file = await open(path, 'w');
  const block = noise(path, 1024 * 1024);
  try {
    for (;;) {
      await file.write(block);
      await file.datasync();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
  return (await stat(path)).size;
}

/** Writes one file of a size, or says that it does not fit. */
export async function fillUpTo(path: string, size: number): Promise<'written' | 'full'> {
  try {
    await writeFile(path, noise(path, size), { flush: size > 100_000 });
    return 'written';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    return 'full';
  }
}
