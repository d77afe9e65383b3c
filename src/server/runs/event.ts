import { reasonOf } from '../../errors.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import type { Failure } from '../../protocol/messages.ts';
import type { ClientName, RunId } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import type { Clock } from '../../system/clock.ts';
import { isOutOfSpace } from '../../system/out-of-space.ts';
import { recordEvent } from '../events.ts';
import type { Store } from '../store.ts';
import { withoutAllowance } from './allowance.ts';
import { endedForRoom, giveBack } from './give-back.ts';
import { readRecord, requireClientPlace, requireOpen, updateCurrentRecord, writeCurrentRecord } from './record.ts';

/** How a transfer ended, as receive tells it. */
export interface TransferEnd {
  readonly run: RunId;
  /** rsync's, or 128 + signal. */
  readonly exitCode: number;
  /** Set when the server ended it, or saw the disk refuse. */
  readonly failure: Failure | null;
}

/** More are never needed; a client that opens transfers without end does not grow the record without end. */
const keptTransfers = 200;

/** Writes into the run's record how a transfer ended. The transfer still holds the client's lock. */
export async function recordTransfer(
  client: ClientName,
  end: TransferEnd,
  { store, clock }: { store: Store; clock: Clock },
): Promise<void> {
  await requireClientPlace(store, client);
  const record = requireOpen(await readRecord(store.runFile(client)), end.run);
  const transfer = { endedAt: clock.now().toISOString(), exitCode: end.exitCode, failure: end.failure };
  const transfers = [...record.transfers, transfer].slice(-keptTransfers);
  const put = end.failure === null ? updateCurrentRecord : writeCurrentRecord;
  const write = () => withoutAllowance(store, client, () => put(store, { ...record, transfers }));
  await write().catch(async (error: unknown) => {
    // The transfer itself may have filled the disk. Unrecorded, its end would pass for that of the one before it.
    if (!isOutOfSpace(error)) throw error;
    const [{ withLastReserves }, { inJournal }] = await Promise.all([
      import('../prune/reserve.ts'),
      import('../after-run.ts'),
    ]);
    await inJournal((log) => withLastReserves(store, log, write));
  });
  if (end.failure === null) return;
  const { what, why } = end.failure;
  if (endedForRoom(end.failure)) await tryToGiveBack({ ...record, transfers }, { store, clock });
  await recordEvent(store, {
    at: clock.now().toISOString(),
    kind: 'run-failed',
    client,
    run: end.run,
    what: `a run of ${client} failed: ${what}`,
    ...(why === undefined ? {} : { why }),
  });
}

/** Where it cannot be done, what was written stays, and the refusals name it; the end of the transfer is told all the same. */
async function tryToGiveBack(record: RunRecord, { store, clock }: { store: Store; clock: Clock }): Promise<void> {
  const { client, run } = record;
  const event = { at: clock.now().toISOString(), kind: 'given-back', client, run };
  try {
    if (!(await giveBack(store, record))) return;
    const what = `what a run of ${client} had written is given back: its files are those of its last snapshot again`;
    await recordEvent(store, { ...event, what });
  } catch (error) {
    const what = `what a run of ${client} had written could not be given back`;
    await recordEvent(store, { ...event, what, why: reasonOf(error) });
  }
}

/** Has the admin hear of something that was refused. */
export async function recordRefusal(
  refusal: {
    readonly client?: ClientName | undefined;
    readonly run?: RunId | undefined;
    readonly address?: string | undefined;
    readonly check: string;
    readonly what: string;
    readonly why?: string | undefined;
  },
  { store, clock }: { store: Store; clock: Clock },
): Promise<void> {
  const { client, run, address, check, what, why } = refusal;
  // It comes escaped; should somebody send anything else, it is escaped here.
  const safe = (text: string) => escapeName(unescapeName(text));
  await recordEvent(store, {
    at: clock.now().toISOString(),
    kind: 'refusal',
    ...(client === undefined ? {} : { client }),
    ...(run === undefined ? {} : { run }),
    what: safe(what),
    ...(why === undefined ? {} : { why: safe(why) }),
    check,
    ...(address === undefined ? {} : { address }),
  });
}
