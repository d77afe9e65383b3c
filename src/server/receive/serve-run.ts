import { BytebackError } from '../../errors.ts';
import { CompleteRequestSchema, PrepareRequestSchema } from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import { parseRequest, readMessages, withinTime } from '../helper-request.ts';
import type { ReceiveCall } from './receive.ts';
import { openSnapshotHelper, type SnapshotHelper } from './root-helper.ts';

/** As long as the session waits itself, and a little more. */
const helperIdleMs = 70_000;

/**
 * The session that opens a run. While it lasts the run can be completed in it, too, so that a short run starts neither a session nor
 * root's helper for that anew.
 * @param ahead root's helper is started before the request is there
 */
export async function serveRun(client: ClientName, call: ReceiveCall, ahead: boolean): Promise<number> {
  let helper: SnapshotHelper | undefined = ahead ? openSnapshotHelper(helperIdleMs) : undefined;
  const ask = async (request: unknown): Promise<number> => {
    helper ??= openSnapshotHelper(helperIdleMs);
    const { json, exitCode } = await helper.ask(request);
    call.writeOut(`${json}\n`);
    return exitCode;
  };
  const messages = readMessages(call.stdin);
  try {
    const first = await withinTime(call.stdin, () => messages.next());
    const prepared = await ask({
      verb: 'prepare',
      client,
      request: parseRequest(first.value ?? '', PrepareRequestSchema),
    });
    if (prepared !== 0) return prepared;
    const second = await withinTime(call.stdin, () => messages.next()).catch((error: unknown) => {
      // A run that takes longer is completed in a session of its own.
      if (error instanceof BytebackError && error.exit === 'refused') return undefined;
      throw error;
    });
    if (second?.value === undefined) return 0;
    if (call.mayComplete === undefined) return 0;
    await call.mayComplete();
    return await ask({ verb: 'complete', client, request: parseRequest(second.value, CompleteRequestSchema) });
  } finally {
    helper?.end();
    call.stdin.destroy();
  }
}
