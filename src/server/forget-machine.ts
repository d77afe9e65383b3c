import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { ClientName } from '../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';
import type { Store } from './store.ts';

/**
 * Unbinds a client's name from the machine that used it: a new machine takes its place, and its first run binds the
 * name anew. All else that root remembers of the client stays.
 */
export async function forgetMachine(store: Store, client: ClientName): Promise<void> {
  const path = store.clientStateFile(client);
  let state: unknown;
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      state = JSON.parse(await file.readFile('utf8'));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (typeof state !== 'object' || state === null || !('machineId' in state)) return;
  const { machineId: _forgotten, ...rest } = state;
  await writeFileAtomically(path, `${JSON.stringify(rest, undefined, 2)}\n`, { mode: 0o600, uid: 0, gid: 0 });
}
