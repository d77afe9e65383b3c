import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import { FloodSchema } from '../../report/alerts.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());

/** One mail, or one call of an address, that waits to go. */
const EntrySchema = v.object({
  format: v.literal(1),
  id: v.pipe(v.string(), v.regex(/^[0-9]{13}-[0-9a-f]{16}$/)),
  madeAt: Time,
  /** It is pointless after this. */
  until: Time,
  attempts: v.number(),
  nextAt: Time,
  /** Why it did not go the last time. */
  lastError: v.optional(v.string()),
  post: v.variant('kind', [
    v.object({
      kind: v.literal('mail'),
      to: v.pipe(v.array(v.string()), v.minLength(1)),
      subject: v.string(),
      text: v.string(),
      html: v.string(),
    }),
    v.object({ kind: v.literal('call'), address: v.string(), body: v.optional(v.record(v.string(), v.unknown())) }),
  ]),
});
export type SpoolEntry = v.InferOutput<typeof EntrySchema>;
export type Post = SpoolEntry['post'];

/** What is remembered between two rounds: what was told already. */
const StateSchema = v.object({
  format: v.literal(1),
  /** Nothing from before is told. */
  begunAt: Time,
  /** Events up to this time are told. */
  events: Time,
  /** By client: the newest run that is told, and the newest that was seen to begin. */
  runs: v.record(
    v.string(),
    v.object({ completedAt: v.optional(Time), directoryMs: v.number(), begun: v.optional(v.string()) }),
  ),
  /** By reader. */
  floods: v.record(v.string(), FloodSchema),
  /** By client: when it was last told that it is overdue. */
  overdue: v.record(v.string(), Time),
  /** By kind of those events that come again with every run or prune: when one was last told. */
  seldom: v.optional(v.record(v.string(), Time)),
  /** By check and client: when what the health found was last told. */
  health: v.optional(v.record(v.string(), Time)),
  /** When it was last told that the store is not there. */
  storeDown: v.optional(Time),
});
export type PostState = v.InferOutput<typeof StateSchema>;

/** More than this never waits: what comes then is dropped, so that a mail server that is away for long fills no disk. */
const mostWaiting = 1000;

export const lockOf = (spool: string) => join(spool, 'lock');
export const againOf = (spool: string) => join(spool, 'again');
const queueOf = (spool: string) => join(spool, 'queue');
const stateOf = (spool: string) => join(spool, 'state.json');

/** Makes the spool's directories, or checks that they are the caller's own and nobody else's. */
export async function openSpool(spool: string): Promise<void> {
  for (const path of [spool, queueOf(spool)]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const stat = await lstat(path);
    if (stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o077) === 0) continue;
    throw new BytebackError('refused', {
      what: `${path} is not a directory of root's alone`,
      why: 'what waits to be mailed is private',
      fix: `look at it: ls -ld ${path}; then move it away`,
    });
  }
}

/** What is known; a state that is missing or damaged begins now. */
export async function readState(spool: string, now: Date): Promise<PostState> {
  try {
    return v.parse(StateSchema, JSON.parse(await readFile(stateOf(spool), 'utf8')));
  } catch {
    // An hour of grace: the first run of all may have ended before anybody looked.
    const begunAt = new Date(now.getTime() - 3_600_000).toISOString();
    return { format: 1, begunAt, events: begunAt, runs: {}, floods: {}, overdue: {} };
  }
}

export async function writeState(spool: string, state: PostState): Promise<void> {
  await writeFileAtomically(stateOf(spool), `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

/** All that waits, oldest first; what cannot be read is passed over. Empty where there is no spool. */
export async function readQueue(spool: string): Promise<SpoolEntry[]> {
  let names: string[];
  try {
    names = await readdir(queueOf(spool));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const entries = await Promise.all(
    names
      .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
      .toSorted()
      .map(async (name) => {
        try {
          const { success, output } = v.safeParse(
            EntrySchema,
            JSON.parse(await readFile(join(queueOf(spool), name), 'utf8')),
          );
          return success ? output : undefined;
        } catch {
          // Sent meanwhile, or damaged.
          return undefined;
        }
      }),
  );
  return entries.filter((entry) => entry !== undefined);
}

let sequence = 0;

/** Puts something into the queue. @returns false when the queue is full, and it is dropped. */
export async function enqueue(
  spool: string,
  post: Post,
  { now, lifeMs }: { now: Date; lifeMs: number },
): Promise<boolean> {
  if ((await readdir(queueOf(spool))).length >= mostWaiting) return false;
  const at = now.toISOString();
  // What is made in one millisecond stays in its order.
  sequence = (sequence + 1) % 0x10000;
  const order = sequence.toString(16).padStart(4, '0');
  const id = `${String(now.getTime()).padStart(13, '0')}-${order}${randomBytes(6).toString('hex')}`;
  const until = new Date(now.getTime() + lifeMs).toISOString();
  await writeEntry(spool, { format: 1, id, madeAt: at, until, attempts: 0, nextAt: at, post });
  return true;
}

export async function writeEntry(spool: string, entry: SpoolEntry): Promise<void> {
  await writeFileAtomically(join(queueOf(spool), `${entry.id}.json`), `${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

export async function removeEntry(spool: string, { id }: SpoolEntry): Promise<void> {
  await unlink(join(queueOf(spool), `${id}.json`));
}
