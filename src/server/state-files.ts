import { dirname, join } from 'node:path';
import { findAside, putAside } from '../system/state-file.ts';
import { recordEvent } from './events.ts';
import { readHolds } from './holds.ts';
import { listClientNames, type Store } from './store.ts';

/** Files that protect history and are gone or damaged, in words; pruning is refused meanwhile. */
export async function findMissingState(store: Store): Promise<string[]> {
  const { lost } = await readHolds(store);
  return lost === undefined ? [] : [lost];
}

/** What was put aside of the state of this server, as paths. */
export async function findPutAside(store: Store): Promise<string[]> {
  const directories = [
    store.stateDir,
    join(store.stateDir, 'ledger'),
    dirname(store.clientStateFile('x' as Parameters<Store['clientStateFile']>[0])),
    ...(await listClientNames(store)).map((client) => store.currentDir(client)),
  ];
  return (await Promise.all(directories.map(findAside))).flat();
}

/** Puts a damaged file aside, and has the admin hear of it. What it held is measured or asked anew. */
export async function putStateAside(store: Store, path: string, why: string, now: Date): Promise<void> {
  const aside = await putAside(path, now);
  await recordEvent(store, {
    at: now.toISOString(),
    kind: 'state',
    what: `${path} was damaged and is begun anew`,
    why: `${why}; the damaged one is ${aside}`,
  });
}
