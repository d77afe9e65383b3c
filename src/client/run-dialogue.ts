import { setTimeout as sleep } from 'node:timers/promises';
import type * as v from 'valibot';
import { BytebackError, type ExitName } from '../errors.ts';
import {
  type CompleteReply,
  CompleteReplySchema,
  type CompleteRequest,
  maxMessageBytes,
  noRequest,
  type PrepareReply,
  PrepareReplySchema,
  type PrepareRequest,
} from '../protocol/messages.ts';
import type { Dialogue } from '../system/dialogue.ts';
import type { SshConnection } from '../system/ssh.ts';
import { ask, parseReply } from './remote.ts';
import type { Session } from './session.ts';

/** Making room can take this long before a run is let in. */
const prepareTimeoutMs = 3_600_000;
/** Where space is short the server prunes first, and waits for btrfs to give the space back. */
const completeTimeoutMs = 6 * 3_600_000;

/** What opens a run on the server and closes it: one session of the server's for both, as long as the run is short. */
export interface RunDialogue {
  /** Starts it ahead, while the tree is scanned. Should it fail, `prepare` tries again and says why. */
  start(): void;
  /** @throws as `ask` does. */
  prepare(request: PrepareRequest): Promise<PrepareReply>;
  /** @throws as `ask` does. */
  complete(request: CompleteRequest): Promise<CompleteReply>;
  /** Nothing more is said. Lets the session end by itself, which it does at once unless something is wrong. */
  close(): Promise<void>;
}

const closingMs = 1000;

/** Ends of a question that leave open whether it was answered. */
const asksAgain: ReadonlySet<ExitName> = new Set(['unreachable', 'interrupted']);

export function openRunDialogue(session: Session): RunDialogue {
  const { signal } = session;
  /** Started, and not asked yet. */
  let ahead: Dialogue | undefined;
  /** The one that opened the run, in which it can be completed. */
  let opened: Dialogue | undefined;
  let last: Dialogue | undefined;
  const open = (connection: SshConnection) => {
    last = connection.converse('prepare', { maxLineBytes: maxMessageBytes, signal });
    return last;
  };
  return {
    start() {
      session
        .connect()
        .then((connection) => {
          ahead ??= open(connection);
        })
        .catch(() => undefined);
    },
    prepare(request) {
      return session.persist('prepare', async (connection) => {
        opened?.end();
        opened = undefined;
        let dialogue = ahead?.isOpen ? ahead : open(connection);
        ahead = undefined;
        let line = await dialogue.ask(JSON.stringify(request), { timeoutMs: prepareTimeoutMs });
        if (isLate(line)) {
          // The server had waited for too long when the request came to it: nothing was done with it.
          dialogue = open(connection);
          line = await dialogue.ask(JSON.stringify(request), { timeoutMs: prepareTimeoutMs });
        }
        const reply = await replyIn(connection, 'prepare', dialogue, line, PrepareReplySchema);
        opened = dialogue;
        return reply;
      });
    },
    complete(request) {
      let first = true;
      const attempt = async (connection: SshConnection): Promise<CompleteReply> => {
        const dialogue = opened;
        // Whatever becomes of it, it is asked for once in there: the server gives the same answer to whoever asks again.
        opened = undefined;
        const line = dialogue?.isOpen
          ? await dialogue.ask(JSON.stringify(request), { timeoutMs: completeTimeoutMs, last: true })
          : undefined;
        if (dialogue !== undefined && line !== undefined) {
          return await replyIn(connection, 'complete', dialogue, line, CompleteReplySchema);
        }
        return await ask(connection, 'complete', request, CompleteReplySchema, {
          timeoutMs: completeTimeoutMs,
          signal,
        });
      };
      return session.persist('later', async (connection) => {
        try {
          return await attempt(connection);
        } catch (error) {
          // The snapshot may be there, and only the answer is lost: that is worth one question more, however few attempts are allowed.
          if (!first || signal.aborted || !(error instanceof BytebackError) || !asksAgain.has(error.exit)) throw error;
          first = false;
          return await attempt(await session.connect());
        }
      });
    },
    async close() {
      last?.end();
      const limit = new AbortController();
      await Promise.race([last?.ended, sleep(closingMs, undefined, { signal: limit.signal }).catch(() => undefined)]);
      limit.abort();
    },
  };
}

/** Whether it is what the server says when it gives up waiting for a request. */
function isLate(line: Buffer | undefined): boolean {
  return line?.includes(`"what":"${noRequest}"`) ?? false;
}

async function replyIn<Schema extends v.GenericSchema>(
  connection: SshConnection,
  command: string,
  dialogue: Dialogue,
  line: Buffer | undefined,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  // An answer is an answer, whenever its session ends.
  const end = line === undefined ? await dialogue.ended : { exitCode: 0, stderr: '' };
  return parseReply(connection.target.host, command, { ...end, stdout: line ?? Buffer.alloc(0) }, schema);
}
