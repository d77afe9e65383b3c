import { join } from 'node:path';
import {
  CompleteReplySchema,
  type CompleteRequest,
  maxMessageBytes,
  type PrepareReply,
  PrepareReplySchema,
  protocolVersion,
} from '../protocol/messages.ts';
import type { RunId } from '../protocol/names.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileAtomically } from '../system/files.ts';
import type { Log } from '../system/log.ts';
import { serializeRules } from './filter-rules.ts';
import { readMachineId } from './machine-id.ts';
import type { Plan } from './plan.ts';
import { ask, ServerFailure } from './remote.ts';
import type { RunReport } from './run-backup.ts';
import type { Session } from './session.ts';
import { type Moved, type TransferContext, transfer, type Unread } from './transfer.ts';

/** What the steps on the server need to know. */
export interface OpenRunContext {
  readonly session: Session;
  /** `user@host` as rsync wants it. */
  readonly host: string;
  readonly destination: string;
  readonly machineIdFile: string;
  readonly version: string;
  readonly workDirectory: string;
  readonly startedAt: Date;
  readonly ioTimeoutMs: number;
  readonly bwlimit: string | undefined;
  readonly extraFlags: readonly string[];
  readonly log: Log;
  readonly clock: Clock;
  /** Told each id that the server gives out. */
  readonly onRun: (run: RunId) => void;
}

/** What a completed run leaves for its report. */
export type Done = Pick<RunReport, 'status' | 'run' | 'snapshot' | 'unread' | 'figures' | 'deletedFiles'>;

/** The most file names that a record holds. */
const maxUnread = 1000;
/** The longest escaped name that the protocol carries. */
const longestName = 16_384;

/**
 * Prepare, transfer, complete. A retry goes on with the same run; only when the server has no such run open any more is
 * it prepared anew, once.
 */
export async function openRun(plan: Plan, context: OpenRunContext): Promise<Done> {
  const moved: Moved = { sentFiles: 0, sentBytes: 0, deletedFiles: 0, wireBytes: 0 };
  for (let again = false; ; again = true) {
    const prepared = await prepare(plan, context);
    try {
      const { status, unread } = await transferAll(plan, context, prepared, moved);
      return await complete(plan, context, prepared, { status, unread, moved });
    } catch (error) {
      if (again || !isNotOpen(error, prepared.run)) throw error;
      context.log.info('the server has this run open no more; it is prepared anew');
    }
  }
}

function isNotOpen(error: unknown, run: RunId): boolean {
  return error instanceof ServerFailure && error.exit === 'refused' && error.failure.what === `run ${run} is refused`;
}

async function prepare(plan: Plan, context: OpenRunContext): Promise<PrepareReply> {
  const { session, log } = context;
  const machineId = await readMachineId({ installationFile: context.machineIdFile });
  log.step(`asking ${context.destination} for a run`);
  const request = {
    protocol: protocolVersion,
    version: context.version,
    machineId,
    expectedBytes: plan.scan.changedBytes,
    files: plan.scan.files,
  };
  const prepared = await session.persist('prepare', (connection) =>
    ask(connection, 'prepare', request, PrepareReplySchema, { signal: session.signal }),
  );
  context.onRun(prepared.run);
  log.debug(`run ${prepared.run}`);
  return prepared;
}

/** Both passes: large files in place, then everything. */
async function transferAll(plan: Plan, context: OpenRunContext, prepared: PrepareReply, moved: Moved) {
  const { log } = context;
  const rulesFile = join(context.workDirectory, 'rules');
  await writeFileAtomically(rulesFile, serializeRules(plan.rules), { mode: 0o600 });
  const transferContext: TransferContext = {
    session: context.session,
    run: prepared.run,
    host: context.host,
    ioTimeoutMs: context.ioTimeoutMs,
    ...(context.bwlimit === undefined ? {} : { bwlimit: context.bwlimit }),
    extraFlags: context.extraFlags,
    log,
    moved,
    expectedBytes: plan.scan.changedBytes,
  };
  for (const list of plan.scan.large) {
    log.step(`sending ${list.files} large files in place`);
    await transfer(transferContext, { kind: 'inPlace', listFile: list.path, blockSizeBytes: list.group });
  }
  log.step('sending everything else');
  return transfer(transferContext, { kind: 'everything', rulesFile });
}

async function complete(
  plan: Plan,
  context: OpenRunContext,
  { run }: PrepareReply,
  { status, unread, moved }: { status: 'ok' | 'partial'; unread: Unread[]; moved: Moved },
): Promise<Done> {
  const { session, log, clock } = context;
  log.step('taking the snapshot');
  const figures = {
    durationMs: Math.max(0, clock.now().getTime() - context.startedAt.getTime()),
    wireBytes: moved.wireBytes,
    sentBytes: moved.sentBytes,
    sentFiles: moved.sentFiles,
    files: plan.scan.files,
    totalBytes: plan.scan.bytes,
    retries: session.retries,
  };
  const request: CompleteRequest = { run, status, unread: namesFor(unread), figures };
  const { snapshot } = await session.persist('later', (connection) =>
    // The server prunes before it answers, and waits for btrfs to give the space back.
    ask(connection, 'complete', request, CompleteReplySchema, { timeoutMs: 6 * 3_600_000, signal: session.signal }),
  );
  log.step(`snapshot ${snapshot}`);
  const durationMs = Math.max(0, clock.now().getTime() - context.startedAt.getTime());
  return { status, run, snapshot, unread, figures: { ...figures, durationMs }, deletedFiles: moved.deletedFiles };
}

/** As many names as a record may hold and a message can carry. */
function namesFor(unread: readonly Unread[]): string[] {
  const names: string[] = [];
  let bytes = 0;
  for (const { path } of unread.slice(0, maxUnread)) {
    // Escaped once more as JSON, a backslash takes two bytes.
    bytes += 2 * Buffer.byteLength(path) + 3;
    if (bytes > maxMessageBytes / 2 || path.length > longestName) break;
    names.push(path);
  }
  return names;
}
