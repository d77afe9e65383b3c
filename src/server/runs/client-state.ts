import { dirname, join } from 'node:path';
import * as v from 'valibot';
import type { ClientName } from '../../protocol/names.ts';
import { writeFileAtomically } from '../../system/files.ts';
import { patientLock } from '../../system/lock.ts';
import { readStateFile } from '../../system/state-file.ts';
import { putStateAside } from '../state-files.ts';
import { requireRootsDirectory, type Store } from '../store.ts';

/** What this room knows of `.byteback/clients/NAME.json`; what others keep there stays as it is. */
const ClientStateSchema = v.looseObject({
  /** The machine that uses this name: pinned by its first prepare. */
  machineId: v.optional(v.string()),
  /** How its last run ended, as it says itself. */
  lastEnd: v.optional(
    v.object({
      at: v.string(),
      run: v.nullable(v.string()),
      endedAt: v.string(),
      status: v.string(),
      exit: v.number(),
      phase: v.string(),
      what: v.optional(v.string()),
    }),
  ),
  /** The admin lets another machine take the name: the next one that comes. */
  forgotten: v.optional(v.boolean()),
});
export type ClientState = v.InferOutput<typeof ClientStateSchema>;

/**
 * What root remembers of a client; empty when nothing yet. A damaged file is put aside: what was in it is asked anew, and the
 * machine is known from the record of the last run.
 */
export async function readClientState(store: Store, client: ClientName): Promise<ClientState> {
  const path = store.clientStateFile(client);
  const read = await readStateFile(path, ClientStateSchema);
  if (read.kind === 'ok') return read.value;
  if (read.kind !== 'gone') await putStateAside(store, path, read.why, new Date());
  return {};
}

/** Binds a client's name to a machine. */
export async function pinMachine(store: Store, client: ClientName, machineId: string): Promise<void> {
  await changeClientState(store, client, (state) => ({ ...state, machineId, forgotten: false }));
}

/** Changes what root remembers of a client, one writer at a time; what others keep there is handed on. */
export async function changeClientState(
  store: Store,
  client: ClientName,
  change: (state: ClientState) => ClientState,
): Promise<void> {
  const path = store.clientStateFile(client);
  await requireRootsDirectory(dirname(path));
  const lock = await patientLock(join(store.stateDir, 'client-state.lock'));
  try {
    const state = change(await readClientState(store, client));
    await writeFileAtomically(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
  } finally {
    await lock.release();
  }
}
