import type { Readable } from 'node:stream';
import * as v from 'valibot';
import type { ServerConfig } from '../../config/server-config.ts';
import { reasonOf } from '../../errors.ts';
import {
  type CompleteReply,
  CompleteRequestSchema,
  EndedRequestSchema,
  FailureSchema,
  type PrepareReply,
  PrepareRequestSchema,
  ProofRequestSchema,
} from '../../protocol/messages.ts';
import { type ClientName, ClientNameSchema, RunIdSchema, SnapshotNameSchema } from '../../protocol/names.ts';
import type { RunRecord } from '../../protocol/run-record.ts';
import { readRequest } from '../helper-request.ts';
import { recordReadings } from '../reading.ts';
import { checks, Refusal } from '../refusal.ts';
import { complete } from './complete.ts';
import { closeDrill, type DrillVerdict, type OpenedDrill, openDrill } from './drill.ts';
import { recordEnd } from './ended.ts';
import { recordRefusal, recordTransfer } from './event.ts';
import { completeHooks } from './hooks.ts';
import { prepare, type RunDeps } from './prepare.ts';
import { moreRoom, type RoomReply } from './room.ts';

/** Printable and short: whoever has taken over the user byteback may word it. */
const RefusalText = v.pipe(v.string(), v.maxLength(500));

/** Everything that can be asked of the root helper byteback-snapshot: a closed set, no delete in it. */
export const HelperRequestSchema = v.variant('verb', [
  v.strictObject({ verb: v.literal('prepare'), client: ClientNameSchema, request: PrepareRequestSchema }),
  /** Room for a run whose transfer writes. */
  v.strictObject({ verb: v.literal('room'), client: ClientNameSchema, run: RunIdSchema }),
  v.strictObject({ verb: v.literal('complete'), client: ClientNameSchema, request: CompleteRequestSchema }),
  v.strictObject({
    verb: v.literal('event'),
    client: ClientNameSchema,
    run: RunIdSchema,
    exitCode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)),
    failure: v.nullable(FailureSchema),
  }),
  v.strictObject({
    verb: v.literal('refusal'),
    client: v.optional(ClientNameSchema),
    run: v.optional(RunIdSchema),
    /** Where it came from, as sshd says. */
    address: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-fA-F.:]{2,45}$/))),
    check: v.picklist(checks),
    what: RefusalText,
    why: v.optional(RefusalText),
  }),
  /** Nothing but what the helper does first anyway: to publish what the receiving user may know of server.toml. */
  v.strictObject({ verb: v.literal('settings') }),
  /** That a snapshot is being read: it is pruned last, and for a day not at all. */
  v.strictObject({ verb: v.literal('reading'), client: ClientNameSchema, snapshot: SnapshotNameSchema }),
  v.strictObject({ verb: v.literal('drill'), client: ClientNameSchema }),
  v.strictObject({ verb: v.literal('ended'), client: ClientNameSchema, request: EndedRequestSchema }),
  v.strictObject({ verb: v.literal('proof'), client: ClientNameSchema, request: ProofRequestSchema }),
]);

/** What the helper answers, and what it does before the answer goes out, though the answer does not depend on it. */
export interface HelperAnswer {
  readonly reply: PrepareReply | CompleteReply | OpenedDrill | DrillVerdict | RoomReply | { readonly ok: true };
  readonly afterwards?: () => Promise<void>;
}

export interface HelperDeps extends RunDeps {
  readonly config: ServerConfig;
  /** Prunes when the store asks for it; its failure fails nothing else. */
  readonly pruneAfterwards: () => Promise<void>;
  /** Makes one step of room for a run that writes; gives why there is none. */
  readonly makeRoom: (client: ClientName, record: RunRecord) => Promise<string | undefined>;
}

/** Reads one request and does it. @throws BytebackError with the exit for the caller. */
export async function answerHelper(input: Readable, deps: HelperDeps): Promise<HelperAnswer> {
  const request = await readRequest(input, HelperRequestSchema);
  try {
    return await answer(request, deps);
  } catch (error) {
    if (error instanceof Refusal) {
      const { what, why } = error.explanation;
      await recordRefusal(
        { client: 'client' in request ? request.client : undefined, check: error.check, what, why },
        deps,
      );
    }
    throw error;
  }
}

async function answer(request: v.InferOutput<typeof HelperRequestSchema>, deps: HelperDeps): Promise<HelperAnswer> {
  switch (request.verb) {
    case 'prepare':
      return { reply: await prepare(request.client, request.request, deps) };
    case 'room':
      return { reply: await moreRoom(request.client, request.run, deps) };
    case 'event':
      await recordTransfer(request.client, request, deps);
      return { reply: { ok: true } };
    case 'refusal':
      await recordRefusal(request, deps);
      return { reply: { ok: true } };
    case 'settings':
      return { reply: { ok: true } };
    case 'ended':
      await recordEnd(request.client, request.request, deps);
      return { reply: { ok: true } };
    case 'reading':
      await recordReadings(deps.store, request.client, [{ name: request.snapshot }], deps.clock.now());
      return { reply: { ok: true } };
    case 'drill':
      return { reply: await openDrill(request.client, deps) };
    case 'proof':
      return { reply: await closeDrill(request.client, request.request, deps) };
    case 'complete': {
      const reply = await complete(request.client, request.request, deps);
      const about = { client: request.client, run: reply.run, snapshot: reply.snapshot };
      const afterwards = async () => {
        await completeHooks(about, { ...deps, timeoutMs: deps.config.hookTimeoutMs }).catch((error: unknown) =>
          process.stderr.write(`hooks failed: ${reasonOf(error)}\n`),
        );
        await deps.pruneAfterwards();
      };
      return { reply, afterwards };
    }
  }
}
