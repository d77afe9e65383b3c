import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { KeptPlace } from '../catalogue/kept.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';

/** `mounts.json` in the state directory: the file systems of their own, and the encrypted directories, that the last run of all sources took. */
const MountsSchema = v.object({
  format: v.literal(1),
  mounts: v.array(
    v.object({
      /** A byte string. */
      path: v.string(),
      /** What was mounted there, for people. */
      source: v.string(),
      /** When it was last seen there, in milliseconds since 1970. */
      seenAt: v.number(),
    }),
  ),
  /** Encrypted directories that were open, as byte strings, with the same. */
  open: v.optional(v.array(v.object({ path: v.string(), seenAt: v.number() })), []),
});
export type Remembered = Omit<v.InferOutput<typeof MountsSchema>, 'format'>;
export type RememberedMount = Remembered['mounts'][number];

const nothing: Remembered = { mounts: [], open: [] };

const fileIn = (stateDir: string) => join(stateDir, 'mounts.json');

/** What is remembered; nothing when there is no such file yet, or none that can be understood. */
export async function readMounts(stateDir: string): Promise<Remembered> {
  let text: string;
  try {
    text = await readFile(fileIn(stateDir), 'utf8');
  } catch (error) {
    if (isMissing(error)) return nothing;
    throw error;
  }
  try {
    return v.parse(MountsSchema, JSON.parse(text));
  } catch {
    // Damaged, or of another version: what is mounted now is remembered anew.
    return nothing;
  }
}

export async function writeMounts(stateDir: string, { mounts, open }: Remembered): Promise<void> {
  const text = JSON.stringify({ format: 1, mounts, open } satisfies v.InferOutput<typeof MountsSchema>);
  await writeFileAtomically(fileIn(stateDir), `${text}\n`, { mode: 0o600 });
}

/** One that fstab does not know is taken for removed when it was not seen for this long. */
const patienceMs = 30 * 86_400_000;

/** What a run does about the mounts that it remembers. Pure. */
export interface MountsDecision {
  /** Not mounted now: the server keeps what it has of them. */
  readonly missing: readonly KeptPlace[];
  /** What is to be remembered of this run. */
  readonly remembered: readonly RememberedMount[];
}

/**
 * A file system that was there and is not mounted now is no empty directory: it is kept until it is mounted again, or until it is known
 * to be removed: named to the run as forgotten, or not in fstab and not seen for 30 days.
 * @param mounted the file systems of their own that a run takes now
 * @param mattering whether a path lies in what the run takes
 */
export function decideMounts(
  before: readonly RememberedMount[],
  mounted: readonly { readonly path: string; readonly source: string }[],
  facts: {
    readonly now: number;
    /** Mount points of /etc/fstab, as byte strings. */
    readonly fstab: ReadonlySet<string>;
    readonly forgotten: readonly string[];
    readonly mattering: (path: string) => boolean;
  },
): MountsDecision {
  const { now, fstab, forgotten, mattering } = facts;
  const here = new Set(mounted.map(({ path }) => path));
  const missing = before.filter(({ path, seenAt }) => {
    if (here.has(path) || forgotten.includes(path) || !mattering(path)) return false;
    return fstab.has(path) || now - seenAt < patienceMs;
  });
  return {
    missing: missing.map(({ path, source, seenAt }) => ({
      path,
      extent: 'whole',
      why: `${source} was mounted there on ${new Date(seenAt).toISOString().slice(0, 10)}, and is not now`,
    })),
    remembered: [...mounted.map(({ path, source }) => ({ path, source, seenAt: now })), ...missing],
  };
}
