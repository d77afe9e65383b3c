import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { type Lock, tryLock } from '../../system/lock.ts';
import { requireRootsDirectory, type Store } from '../store.ts';

/** What this room knows of `.byteback/clients/NAME.json`; what others keep there stays as it is. */
const ClientStateSchema = v.looseObject({
  /** The machine that uses this name: pinned by its first prepare. */
  machineId: v.optional(v.string()),
});
export type ClientState = v.InferOutput<typeof ClientStateSchema>;

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
  await changeClientState(store, client, (state) => ({ ...state, machineId }));
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

async function patientLock(path: string): Promise<Lock> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const lock = await tryLock(path, { create: true });
    if (lock !== undefined) return lock;
    await sleep(25);
  }
  throw new BytebackError('locked', { what: 'somebody else is changing the state of the client', fix: 'try again' });
}
