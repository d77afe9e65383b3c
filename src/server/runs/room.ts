import { BytebackError } from '../../errors.ts';
import type { ClientName, RunId } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { tryLock } from '../../system/lock.ts';
import type { Store } from '../store.ts';
import { setAllowance } from './allowance.ts';
import { readRecord, requireClientPlace, requireOpen } from './record.ts';

/** What the receiver of a run hears when it asks for room. */
export interface RoomReply {
  readonly ok: true;
  /** Why there is no more, or null. */
  readonly why: string | null;
}

/**
 * Makes room for a run while its transfer writes, one step at a time.
 * @throws BytebackError refused when the run is not open, or nothing is being transferred.
 */
export async function moreRoom(
  client: ClientName,
  run: RunId,
  {
    store,
    makeRoom,
  }: {
    readonly store: Store;
    readonly makeRoom: (client: ClientName, record: RunRecord) => Promise<string | undefined>;
  },
): Promise<RoomReply> {
  await requireClientPlace(store, client);
  const record = requireOpen(await readRecord(store.runFile(client)), run);
  const lock = await tryLock(store.lockFile(client));
  if (lock !== undefined) {
    await lock.release();
    throw new BytebackError('refused', { what: 'no room is made', why: `nothing is being transferred for ${client}` });
  }
  const why = await makeRoom(client, record);
  if (why === undefined && record.growth !== undefined) await setAllowance(store, client, record.growth);
  return { ok: true, why: why ?? null };
}
