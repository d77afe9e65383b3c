import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { serverPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import type { DrilledFileSchema, ProofRequest } from '../../protocol/messages.ts';
import type { ClientName, SnapshotName } from '../../protocol/names.ts';
import { proofNamespace, proofText } from '../../protocol/proof-text.ts';
import { ProvenSchema } from '../../protocol/run-record.ts';
import type { Clock } from '../../system/clock.ts';
import { isSignedBy } from '../../system/signatures.ts';
import { recordEvent } from '../events.ts';
import { entriesOf, readRegistry } from '../registry.ts';
import type { Store } from '../store.ts';
import { changeClientState, readClientState } from './client-state.ts';
import { DrawnSchema } from './drawn.ts';
import { whyNoProof } from './enough-proof.ts';
import { requireClientPlace } from './record.ts';

/** What root remembers of drills in a client's state. */
const DrillStateSchema = v.object({
  drill: v.optional(v.object({ id: v.string(), at: v.string(), ...DrawnSchema.entries })),
  /** The last drill in which enough files were compared and every one was equal. */
  lastProven: v.optional(ProvenSchema),
  /** Drills since then. */
  draws: v.optional(v.number()),
});

/** An answer that comes later than this proves nothing of now. */
const answerWithinMs = 6 * 3_600_000;
const shownWrong = 5;

/** What was drawn, as the client hears it: without the checksums. */
export interface OpenedDrill {
  readonly ok: true;
  readonly drill: string;
  readonly snapshot: SnapshotName;
  readonly files: readonly v.InferOutput<typeof DrilledFileSchema>[];
  readonly client: ClientName;
}

/** Draws files of the newest snapshot and remembers them; a drill that was not answered is forgotten, and counted. */
export async function openDrill(
  client: ClientName,
  { store, clock }: { store: Store; clock: Clock },
): Promise<OpenedDrill> {
  await requireClientPlace(store, client);
  // Loaded only for it: most that is asked of this helper is part of a run.
  const { drawFiles } = await import('../listing.ts');
  const drawn = await drawFiles(store, client);
  const id = randomBytes(16).toString('hex');
  const drill = { id, at: clock.now().toISOString(), ...drawn };
  await changeClientState(store, client, (state) => ({ ...state, drill, draws: drawsIn(state) + 1 }));
  const files = drawn.files.map(({ path, sizeBytes, mtime }) => ({ path, sizeBytes, mtime }));
  return { ok: true, drill: id, snapshot: drawn.snapshot, files, client };
}

function drawsIn(state: unknown): number {
  const known = v.safeParse(DrillStateSchema, state);
  return known.success ? (known.output.draws ?? 0) : 0;
}

/** What a drill showed. */
export interface DrillVerdict {
  readonly ok: true;
  /** Files that are equal, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Escaped paths of those that are not, though the client says that they are unchanged. */
  readonly wrong: readonly string[];
  readonly proven: boolean;
  /** Why it is not. */
  readonly why?: string;
}

/**
 * Compares the client's checksums with those of the store. The client counts as proven restorable only when enough is equal, nothing is
 * wrong, and the answer is signed with the client's key: whoever is the user that receives can word an answer, but not sign it.
 */
export async function closeDrill(
  client: ClientName,
  answer: ProofRequest,
  { store, clock, registryFile = serverPaths.authorizedKeys }: { store: Store; clock: Clock; registryFile?: string },
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
  const equal = { files: 0, bytes: 0 };
  const drawn = { files: 0, bytes: 0 };
  for (const { path, sizeBytes, sha256 } of drill.files) {
    drawn.files += 1;
    drawn.bytes += sizeBytes;
    const told = answers.get(path);
    // What is changed or gone on the client has nothing to be compared with; what the disk does not give is always wrong.
    if (sha256 === null || (told !== undefined && told !== null && told !== sha256)) wrong.push(path);
    else if (told === sha256) {
      equal.files += 1;
      equal.bytes += sizeBytes;
    }
  }
  const why = whyNoProof({ drawn, equal, wrong: wrong.length }) ?? (await whyNotSigned(client, answer, registryFile));
  await changeClientState(store, client, ({ drill: _, ...state }) => {
    if (why !== undefined) return state;
    const figures = { ...equal, drawnFiles: drawn.files, drawnBytes: drawn.bytes, draws: drawsIn(state) };
    return { ...state, draws: 0, lastProven: { at: now.toISOString(), snapshot: drill.snapshot, ...figures } };
  });
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
  return { ok: true, ...equal, wrong, proven: why === undefined, ...(why === undefined ? {} : { why }) };
}

async function whyNotSigned(
  client: ClientName,
  answer: ProofRequest,
  registryFile: string,
): Promise<string | undefined> {
  const { signature } = answer;
  if (signature === undefined)
    return 'the answer is not signed with the key of the client; a newer byteback there signs it';
  const text = proofText(client, answer);
  for (const entry of entriesOf(await readRegistry(registryFile))) {
    if (entry.role !== 'client' || entry.name !== client) continue;
    const publicKey = `${entry.key.type} ${entry.key.blob}`;
    if (await isSignedBy(publicKey, { namespace: proofNamespace, text, signature })) return undefined;
  }
  return 'the answer is signed, but not with the key of the client';
}

/** When a client was last proven restorable, for the record of its next run. */
export async function lastProvenOf(
  store: Store,
  client: ClientName,
): Promise<v.InferOutput<typeof ProvenSchema> | undefined> {
  const state = v.safeParse(DrillStateSchema, await readClientState(store, client));
  return state.success ? state.output.lastProven : undefined;
}
