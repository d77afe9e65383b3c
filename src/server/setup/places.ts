import { serverPaths } from '../../config/paths.ts';
import { findUser } from '../../system/accounts.ts';
import { entriesOf, readRegistry } from '../registry.ts';
import { clientExists, createClientDirectories, storeAt } from '../store.ts';
import type { Step } from './step.ts';

/** Registered clients without a place in the store: its disk was replaced, or somebody took a place away. */
async function homeless(storePath: string) {
  const store = storeAt(storePath);
  const registry = await readRegistry(serverPaths.authorizedKeys).catch(() => undefined);
  const names = (registry === undefined ? [] : entriesOf(registry)).flatMap((entry) =>
    entry.role === 'client' ? [entry.name] : [],
  );
  const there = await Promise.all(names.map((name) => clientExists(store, name)));
  return { store, names: names.filter((_, at) => there[at] === false) };
}

/** Each registered client's place in the store, so that a store that begins anew takes their backups. */
export function placesStep(storePath: string, user: string): Step {
  return {
    title: 'places',
    check: async () => {
      const { names } = await homeless(storePath);
      return names.length === 0
        ? undefined
        : `make an empty place for registered clients that have none here: ${names.join(', ')}`;
    },
    act: async () => {
      const account = await findUser(user);
      if (account === undefined) throw new Error(`there is no user ${user}`);
      const { store, names } = await homeless(storePath);
      for (const name of names) await createClientDirectories(store, name, account);
    },
  };
}
