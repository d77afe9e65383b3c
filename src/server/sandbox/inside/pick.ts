import { createHash, randomInt } from 'node:crypto';
import { createReadStream } from 'node:fs';
import * as v from 'valibot';
import { escapeName } from '../../../protocol/file-name.ts';
import { SnapshotNameSchema } from '../../../protocol/names.ts';
import { isDeep, openPlace, statPlace } from '../../../system/deep-place.ts';
import { parseFakeStat, readFakeStats } from './fake-stat.ts';
import { decimalSeconds } from './versions.ts';
import { type ByteName, pathOf, walk } from './walk.ts';

/** What is asked: some files of one snapshot, by lot. */
export const PickTaskSchema = v.strictObject({
  snapshot: SnapshotNameSchema,
  count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000)),
  /** Of all files together; one that does not fit any more is passed over. */
  maxBytes: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** One file that was drawn, and what the store holds of it. */
export interface PickedFile {
  /** Absolute, escaped. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtime: string;
  /** Null when the disk does not give it. */
  readonly sha256: string | null;
}

/** Draws files of a snapshot, each with the same chance, and reads them. */
export async function pickInside(request: Buffer): Promise<{ files: PickedFile[] }> {
  const { snapshot, count, maxBytes } = v.parse(PickTaskSchema, JSON.parse(request.toString('utf8')));
  const root = `./${snapshot}/fs`;
  // More than are wanted: some turn out to be links or devices, which are plain files here.
  const drawn = draw(root, 4 * count);
  // What has too long a path for one call is asked for its record alone: each keeps a file open meanwhile.
  const places = drawn.map((names) => pathOf(root, names));
  const records = await readFakeStats(places.map((place) => (isDeep(place) ? Buffer.from(root) : place)));
  const files: PickedFile[] = [];
  let leftBytes = maxBytes;
  for (const [at, names] of drawn.entries()) {
    if (files.length >= count) break;
    const place = places[at] as Buffer;
    const path = escapeName(pathOf('', names));
    const stat = statPlace(place);
    if (!stat?.isFile() || stat.size > leftBytes || path.length > longestName) continue;
    const reached = openPlace(place);
    try {
      const record = isDeep(place) ? (await readFakeStats([reached.place]))[0] : records[at];
      const isFile = record === undefined || ((parseFakeStat(record)?.mode ?? 0) & 0o170000) === 0o100000;
      if (!isFile) continue;
      leftBytes -= Number(stat.size);
      const sha256 = await digestOf(reached.place);
      files.push({ path, sizeBytes: Number(stat.size), mtime: decimalSeconds(stat.mtimeNs), sha256 });
    } finally {
      reached.close();
    }
  }
  return { files };
}

/** The protocol carries no longer name, escaped. */
const longestName = 16_384;

/** So many names by lot, in the order of the lot, in memory for just these: each new one takes the place of one before. */
function draw(root: ByteName, count: number): ByteName[][] {
  const drawn: ByteName[][] = [];
  let seen = 0;
  for (const { names, isDirectory } of walk({ root, below: [], enters: () => true })) {
    if (isDirectory) continue;
    seen += 1;
    if (drawn.length < count) drawn.push([...names]);
    else {
      const at = randomInt(seen);
      if (at < count) drawn[at] = [...names];
    }
  }
  for (let at = drawn.length - 1; at > 0; at -= 1) {
    const other = randomInt(at + 1);
    [drawn[at], drawn[other]] = [drawn[other] as ByteName[], drawn[at] as ByteName[]];
  }
  return drawn;
}

async function digestOf(place: Buffer): Promise<string | null> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(place)) hash.update(chunk as Buffer);
  } catch {
    // Bit rot, most likely: the caller says so.
    return null;
  }
  return hash.digest('hex');
}
