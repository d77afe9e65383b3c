import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import { DrilledFileSchema, type ProofRequest } from '../../protocol/messages.ts';
import { type ClientName, SnapshotNameSchema } from '../../protocol/names.ts';
import { ProvenSchema } from '../../protocol/run-record.ts';
import type { Clock } from '../../system/clock.ts';
import { recordEvent } from '../events.ts';
import type { Store } from '../store.ts';
import { changeClientState, readClientState } from './client-state.ts';
import { requireClientPlace } from './record.ts';

/** What was drawn, with the checksums that the client is not told. */
export const DrawnSchema = v.strictObject({
  snapshot: SnapshotNameSchema,
  files: v.pipe(
    v.array(
      v.strictObject({
        ...DrilledFileSchema.entries,
        sha256: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
      }),
    ),
    v.maxLength(1000),
  ),
});
export type Drawn = v.InferOutput<typeof DrawnSchema>;

/** What root remembers of drills in a client's state. */
const DrillStateSchema = v.object({
  drill: v.optional(v.object({ id: v.string(), at: v.string(), ...DrawnSchema.entries })),
  /** The last drill in which files were compared and every one was equal. */
  lastProven: v.optional(ProvenSchema),
});

/** An answer that comes later than this proves nothing of now. */
const answerWithinMs = 6 * 3_600_000;
const shownWrong = 5;

/** Remembers what was drawn; a drill that was not answered is forgotten. */
export async function openDrill(
  client: ClientName,
  drawn: Drawn,
  { store, clock }: { store: Store; clock: Clock },
): Promise<{ ok: true; drill: string }> {
  await requireClientPlace(store, client);
  const id = randomBytes(16).toString('hex');
  const drill = { id, at: clock.now().toISOString(), ...drawn };
  await changeClientState(store, client, (state) => ({ ...state, drill }));
  return { ok: true, drill: id };
}

/** What a drill showed. */
export interface DrillVerdict {
  readonly ok: true;
  /** Files that are equal, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Escaped paths of those that are not, though the client says that they are unchanged. */
  readonly wrong: readonly string[];
}

/**
 * Compares the client's checksums with those of the store. Only when some files are equal and none is wrong does the
 * client count as proven restorable.
 */
export async function closeDrill(
  client: ClientName,
  answer: ProofRequest,
  { store, clock }: { store: Store; clock: Clock },
): Promise<DrillVerdict> {
  await requireClientPlace(store, client);
  const { drill } = v.parse(DrillStateSchema, await readClientState(store, client));
  const now = clock.now();
  if (drill === undefined || drill.id !== answer.drill || now.getTime() - Date.parse(drill.at) > answerWithinMs) {
    throw new BytebackError('refused', {
      what: 'the answer belongs to no drill',
      why: 'another one was begun since, or it took too long',
      fix: 'run: byteback drill',
    });
  }
  const answers = new Map(answer.files.map((file) => [file.path, file.sha256]));
  const wrong: string[] = [];
  let files = 0;
  let bytes = 0;
  for (const { path, sizeBytes, sha256 } of drill.files) {
    const told = answers.get(path);
    // What is changed or gone on the client has nothing to be compared with; what the disk does not give is always wrong.
    if (sha256 === null || (told !== undefined && told !== null && told !== sha256)) wrong.push(path);
    else if (told === sha256) {
      files += 1;
      bytes += sizeBytes;
    }
  }
  const proven =
    wrong.length === 0 && files > 0 ? { at: now.toISOString(), snapshot: drill.snapshot, files, bytes } : undefined;
  await changeClientState(store, client, ({ drill: _, ...state }) => ({
    ...state,
    ...(proven === undefined ? {} : { lastProven: proven }),
  }));
  if (wrong.length > 0) {
    const names = wrong.slice(0, shownWrong).map((path) => escapeName(unescapeName(path)));
    await recordEvent(store, {
      at: now.toISOString(),
      kind: 'drill',
      client,
      what: `${wrong.length} of ${drill.files.length} files that were drawn cannot be restored as they are on the client`,
      why: `in ${drill.snapshot}: ${names.join(', ')}${wrong.length > shownWrong ? ', …' : ''}`.slice(0, 1900),
    });
  }
  return { ok: true, files, bytes, wrong };
}

/** When a client was last proven restorable, for the record of its next run. */
export async function lastProvenOf(
  store: Store,
  client: ClientName,
): Promise<v.InferOutput<typeof ProvenSchema> | undefined> {
  const state = v.safeParse(DrillStateSchema, await readClientState(store, client));
  return state.success ? state.output.lastProven : undefined;
}
