import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { escapeName } from '../protocol/file-name.ts';
import { writeFileAtomically } from '../system/files.ts';

/** A compressed file that was sent whole though little in it can have changed; the path escaped. */
export interface Resent {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Smaller ones are not worth a word. */
const leastBytes = 1024 * 1024;
/** rsync found less than a fifth of it on the server. */
const wholePart = 0.8;
/** Its size is about what it was. */
const likeness = 0.2;
/** Names are told and remembered up to here. */
const mostTold = 50;
const mostRemembered = 1000;

/** What is one stream through and through: a change at its beginning changes all that follows. */
const compressed = /\.(?:gz|tgz|zst|zstd|tzst|bz2|tbz2?|xz|txz|lzma|lz4|zip|7z)$/i;

/** Sizes of compressed files that were sent whole, by what their names are like. */
const MemorySchema = v.object({ format: v.literal(1), sizes: v.record(v.string(), v.number()) });
export type Sizes = v.InferOutput<typeof MemorySchema>['sizes'];

/** The same for the dump of every day: "/var/dumps/shop-2026-11-20.sql.gz" is like that of yesterday. */
export function likeOf(path: string): string {
  return path.replaceAll(/\d+/g, '#');
}

/** Hears of each file that is sent, and keeps those that went whole and are compressed. */
export class SentWhole {
  readonly #files = new Map<string, number>();

  /** @param path absolute, bytes as characters */
  add(path: string, sizeBytes: number, wireBytes: number): void {
    if (sizeBytes < leastBytes || wireBytes < sizeBytes * wholePart || !compressed.test(path)) return;
    if (this.#files.size < mostRemembered) this.#files.set(path, sizeBytes);
  }

  /** Those that are like one that an earlier run had sent, the largest first; and what to remember for the next run. */
  compare(before: Sizes): { resent: Resent[]; sizes: Sizes } {
    const resent: Resent[] = [];
    const sizes: [string, number][] = [];
    for (const [path, sizeBytes] of this.#files) {
      const like = likeOf(path);
      const size = Object.hasOwn(before, like) ? before[like] : undefined;
      if (size !== undefined && Math.abs(sizeBytes - size) <= size * likeness) {
        resent.push({ path: escapeName(Buffer.from(path, 'latin1')), sizeBytes });
      }
      sizes.push([like, sizeBytes]);
    }
    // What was not sent this time may be next time; the newest are kept.
    const names = new Set(sizes.map(([like]) => like));
    const kept = [...Object.entries(before).filter(([like]) => !names.has(like)), ...new Map(sizes)];
    const told = resent.filter(({ path }) => path.length <= 4096).sort((a, b) => b.sizeBytes - a.sizeBytes);
    return { resent: told.slice(0, mostTold), sizes: Object.fromEntries(kept.slice(-mostRemembered)) };
  }
}

const memoryIn = (stateDir: string) => join(stateDir, 'sent-whole.json');

/** What earlier runs sent; empty where nothing is known. */
export async function readSizes(stateDir: string): Promise<Sizes> {
  try {
    return v.parse(MemorySchema, JSON.parse(await readFile(memoryIn(stateDir), 'utf8'))).sizes;
  } catch {
    // The first run, or damaged: only advice comes of it.
    return {};
  }
}

export async function writeSizes(stateDir: string, sizes: Sizes): Promise<void> {
  await writeFileAtomically(memoryIn(stateDir), `${JSON.stringify({ format: 1, sizes })}\n`, { mode: 0o600 });
}
