import { BytebackError } from '../../errors.ts';
import { CompleteRequestSchema, PrepareRequestSchema } from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import { parseRequest, readMessages, withinTime } from '../helper-request.ts';
import type { ReceiveCall } from './receive.ts';
import { askRoot, type SnapshotHelper, startSnapshotHelper } from './root-helper.ts';

/** As long as the session waits itself, and a little more. */
const helperIdleMs = 70_000;

/**
 * The session that opens a run. While it lasts the run can be completed in it, too, so that a short run starts no session for that
 * anew. Root's helper takes one request: for each another one is started, ahead of it.
 * @param ahead whether it is started before the request is there
 */
export async function serveRun(client: ClientName, call: ReceiveCall, ahead: boolean): Promise<number> {
  const messages = readMessages(call.stdin);
  const next = () => withinTime(call.stdin, () => messages.next());
  let helper: SnapshotHelper | undefined;
  const load = () => {
    helper = ahead ? startSnapshotHelper(helperIdleMs) : undefined;
  };
  const ask = async (request: unknown): Promise<number> => {
    const { json, exitCode } = await (helper?.ask(request) ?? askRoot('snapshot', request));
    call.writeOut(`${json}\n`);
    return exitCode;
  };
  try {
    load();
    const first = await next();
    const request = parseRequest(first.value ?? '', PrepareRequestSchema);
    const prepared = await ask({ verb: 'prepare', client, request });
    if (prepared !== 0) return prepared;
    load();
    const second = await next().catch((error: unknown) => {
      // A run that takes longer is completed in a session of its own.
      if (error instanceof BytebackError && error.exit === 'refused') return undefined;
      throw error;
    });
    if (second?.value === undefined || call.mayComplete === undefined) return 0;
    await call.mayComplete();
    return await ask({ verb: 'complete', client, request: parseRequest(second.value, CompleteRequestSchema) });
  } finally {
    helper?.end();
    call.stdin.destroy();
  }
}
