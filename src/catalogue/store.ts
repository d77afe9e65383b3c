import { createHash } from 'node:crypto';
import { link, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import * as v from 'valibot';
import { syncDirectory, writeFileAtomically } from '../system/files.ts';

/**
 * The catalogue: what the last completed run held, as its scan found it. Two files in the state directory: the sorted
 * records (`catalogue-RUN`), and beside them what they mean (`catalogue-RUN.json`).
 */
const MetaSchema = v.object({
  format: v.literal(2),
  /** The run whose tree it describes: the generation of `current` on the server. */
  run: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  /** Identity of the rules: with other rules other paths count, and only a full walk knows which. */
  rules: v.string(),
  /** Left out because of their CACHEDIR.TAG (byte strings): with them the rules of that run can be made again. */
  cacheDirectories: v.optional(v.array(v.string()), []),
  /** What the device numbers in the records mean (see system/devices.ts). */
  devices: v.object({ bootId: v.string(), names: v.record(v.string(), v.string()) }),
  sizeBytes: v.number(),
  crc32: v.number(),
  files: v.number(),
  bytes: v.number(),
  /** Paths (byte strings) that count as changed at the next run whatever their records say. */
  unsettled: v.array(v.string()),
  /** Places (byte strings) of which it is not known what the server has: they were not looked into, and no catalogue told. */
  doubtful: v.optional(v.array(v.string()), []),
  /** When every file was last looked at on both sides, in milliseconds since 1970. */
  fullWalkAt: v.number(),
  /** Where the check by checksum goes on: the last directory that was checked, as a byte string. */
  checkedUpTo: v.string(),
  /** When it last went on, in milliseconds since 1970. */
  checkedAt: v.number(),
});
export type CatalogueMeta = v.InferOutput<typeof MetaSchema>;

/** A catalogue that can be compared with. */
export interface Catalogue extends CatalogueMeta {
  readonly file: string;
}

const prefix = 'catalogue-';

/** The identity of a set of rules and places. */
export function rulesIdentity(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** The catalogues that are there. */
export interface Kept {
  /** Those that are whole, the newest first. */
  readonly catalogues: readonly Catalogue[];
  /** Whether there was one that is not. */
  readonly damaged: boolean;
}

/**
 * All catalogues in the state directory, read through. One of them belongs to the server's generation, or none: the second
 * is there while it is not known which run completed.
 */
export async function readCatalogues(stateDir: string): Promise<Kept> {
  const { catalogues: found, damaged: torn } = await lookUpCatalogues(stateDir);
  const catalogues: Catalogue[] = [];
  for (const catalogue of found) {
    if ((await checksumOf(catalogue.file).catch(() => undefined)) === catalogue.crc32) catalogues.push(catalogue);
  }
  return { catalogues, damaged: torn || catalogues.length < found.length };
}

/** The same without reading them through: for a first look, which must take every record for a hint. */
export async function lookUpCatalogues(stateDir: string): Promise<Kept> {
  const found: { catalogue: Catalogue; writtenAt: number }[] = [];
  let damaged = false;
  for (const name of await readdir(stateDir)) {
    if (!/^catalogue-[0-9a-f]{32}\.json$/.test(name)) continue;
    const file = join(stateDir, name.slice(0, -'.json'.length));
    try {
      const meta = v.parse(MetaSchema, JSON.parse(await readFile(join(stateDir, name), 'utf8')));
      const { size, mtimeMs } = await stat(file);
      if (size !== meta.sizeBytes || !name.includes(meta.run)) throw new Error('torn');
      found.push({ catalogue: { ...meta, file }, writtenAt: mtimeMs });
    } catch {
      // Corrupt, torn or of another version: it is as good as none, and a full walk makes a new one.
      damaged = true;
    }
  }
  return { catalogues: found.sort((a, b) => b.writtenAt - a.writtenAt).map(({ catalogue }) => catalogue), damaged };
}

/** Makes a scan's file the catalogue of a run; those of older runs stay until `forgetOthers`. */
export async function saveCatalogue(
  stateDir: string,
  scanFile: string,
  meta: Omit<CatalogueMeta, 'format' | 'sizeBytes' | 'crc32'>,
): Promise<void> {
  const file = join(stateDir, `${prefix}${meta.run}`);
  const [{ size }, checksum] = [await stat(scanFile), await checksumOf(scanFile)];
  // The scan stays as well: a run that is prepared anew compares with it once more.
  await rm(file, { force: true });
  await link(scanFile, file);
  await syncDirectory(stateDir);
  const text = JSON.stringify({ format: 2, ...meta, sizeBytes: size, crc32: checksum } satisfies CatalogueMeta);
  await writeFileAtomically(`${file}.json`, `${text}\n`, { mode: 0o600 });
}

/** Removes the catalogues of all runs but one. */
export async function forgetOthers(stateDir: string, run: string | undefined): Promise<void> {
  for (const name of await readdir(stateDir)) {
    if (!name.startsWith(prefix) || (run !== undefined && name.startsWith(`${prefix}${run}`))) continue;
    await rm(join(stateDir, name), { force: true });
  }
}

async function checksumOf(path: string): Promise<number> {
  const file = await open(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(1024 * 1024);
    let checksum = 0;
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) return checksum;
      checksum = crc32(piece.subarray(0, bytesRead), checksum);
    }
  } finally {
    await file.close();
  }
}
