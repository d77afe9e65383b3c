import type { ClientName } from '../protocol/names.ts';
import { changeClientState } from './runs/client-state.ts';
import type { Store } from './store.ts';

/**
 * Unbinds a client's name from the machine that used it: a new machine takes its place, and its first run binds the
 * name anew. All else that root remembers of the client stays.
 */
export async function forgetMachine(store: Store, client: ClientName): Promise<void> {
  await changeClientState(store, client, ({ machineId: _, ...rest }) => ({ ...rest, forgotten: true }));
}
