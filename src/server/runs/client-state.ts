import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as v from 'valibot';
import type { ClientName } from '../../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { requireRootsDirectory, type Store } from '../store.ts';

/** What this room knows of `.byteback/clients/NAME.json`; what others keep there stays as it is. */
const ClientStateSchema = v.looseObject({
  /** The machine that uses this name: pinned by its first prepare. */
  machineId: v.optional(v.string()),
});
type ClientState = v.InferOutput<typeof ClientStateSchema>;

/** What root remembers of a client; empty when nothing yet. */
export async function readClientState(store: Store, client: ClientName): Promise<ClientState> {
  try {
    const file = await open(store.clientStateFile(client), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return v.parse(ClientStateSchema, JSON.parse(await file.readFile('utf8')));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return {};
    throw error;
  }
}

/** Binds a client's name to a machine. */
export async function pinMachine(store: Store, client: ClientName, machineId: string): Promise<void> {
  const path = store.clientStateFile(client);
  await requireRootsDirectory(dirname(path));
  const state = await readClientState(store, client);
  await writeFileAtomically(path, `${JSON.stringify({ ...state, machineId }, undefined, 2)}\n`, { mode: 0o600 });
}
