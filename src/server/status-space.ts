import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { appendLines } from '../system/append-lines.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';
import type { Store } from './store.ts';

/** The store's space at a moment, as one line of `.byteback/space.jsonl` holds it. */
const PointSchema = v.object({
  at: v.pipe(v.string(), v.isoTimestamp()),
  totalBytes: v.pipe(v.number(), v.finite()),
  freeBytes: v.pipe(v.number(), v.finite()),
  historyBytes: v.pipe(v.number(), v.finite()),
});
export type SpacePoint = v.InferOutput<typeof PointSchema>;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** A larger file is thinned: what is older than a month to a point a day, what is older than three years away. */
const thinAboveBytes = 256 * 1024;

function spaceFile(store: Store): string {
  return join(store.stateDir, 'space.jsonl');
}

/** The points that were recorded, oldest first; lines that cannot be read are passed over. */
export async function readSpaceHistory(store: Store): Promise<SpacePoint[]> {
  let text: string;
  try {
    text = await readFile(spaceFile(store), 'utf8');
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => {
    const point = pointOf(line);
    return point === undefined ? [] : [point];
  });
}

function pointOf(line: string): SpacePoint | undefined {
  if (line === '') return undefined;
  try {
    const { success, output } = v.safeParse(PointSchema, JSON.parse(line));
    return success ? output : undefined;
  } catch {
    // A line that a crash cut short.
    return undefined;
  }
}

/** Adds a point, at most one an hour, and keeps the file small. */
export async function recordSpace(store: Store, point: SpacePoint): Promise<void> {
  const path = spaceFile(store);
  const points = await readSpaceHistory(store);
  const last = points.at(-1);
  const nowMs = Date.parse(point.at);
  if (last !== undefined && Math.abs(nowMs - Date.parse(last.at)) < hourMs - 60_000) return;
  await appendLines(path, `${JSON.stringify(point)}\n`);
  if ((await stat(path)).size <= thinAboveBytes) return;
  const kept = thinned([...points, point], nowMs);
  await writeFileAtomically(path, kept.map((one) => `${JSON.stringify(one)}\n`).join(''), { mode: 0o600 });
}

/** Of each day that is over for a month only the last point, of what is older than three years none. Pure. */
export function thinned(points: readonly SpacePoint[], nowMs: number): SpacePoint[] {
  return points.filter(({ at }, index) => {
    const ageMs = nowMs - Date.parse(at);
    if (ageMs > 3 * 365 * dayMs) return false;
    const next = points[index + 1];
    return ageMs < 31 * dayMs || next === undefined || next.at.slice(0, 10) !== at.slice(0, 10);
  });
}
