import type { Totals } from '../catalogue/changes.ts';
import type { PrepareReply } from '../protocol/messages.ts';
import type { EarlyCheck } from './early-check.ts';
import type { OpenRunContext } from './open-run.ts';
import type { Plan } from './plan.ts';
import { type CheckPart, checkPart, nextCheck, tellFindings } from './rolling-check.ts';
import {
  checkDirectories,
  type PassesEnd,
  replayMoves,
  sendAll,
  sendBare,
  sendChanges,
  together,
  walkAll,
} from './send-changes.ts';
import type { KnownChanges, Sending } from './sending.ts';
import type { Moved, TransferContext, Unread } from './transfer.ts';

/** What was sent, and what of it has to be remembered. */
export interface Sent {
  readonly status: 'ok' | 'partial';
  readonly unread: Unread[];
  readonly totals: Totals;
  readonly unsettled: readonly string[];
  /** Undefined after a full walk. */
  readonly since: KnownChanges | undefined;
  readonly check?: CheckPart;
  /** Why everything was walked; null when it was not. */
  readonly walk: string | null;
  /** Directories of which it is not known what the server has, for a reason that came to light as they were sent. */
  readonly doubtful?: readonly string[];
  /** Why no catalogue is kept. */
  readonly notKept?: string | undefined;
}

/** Sends the changes where they are known, and walks everything where they are not. */
export async function sendRun(
  plan: Plan,
  sending: Sending,
  context: OpenRunContext,
  { prepared, rulesFile }: { readonly prepared: PrepareReply; readonly rulesFile: string },
  moved: Moved,
): Promise<Sent> {
  const { log } = context;
  const known = sending.since(prepared.generation);
  const transferContext = (expectedBytes: number): TransferContext => ({
    session: context.session,
    run: prepared.run,
    host: context.host,
    ioTimeoutMs: context.ioTimeoutMs,
    rulesFile,
    ...(context.bwlimit === undefined ? {} : { bwlimit: context.bwlimit }),
    extraFlags: context.extraFlags,
    enter: plan.space.enter,
    root: plan.space.root,
    log,
    moved,
    expectedBytes,
  });
  const bare = plan.kept.filter(({ extent }) => extent === 'contents').map(({ path }) => path);
  let why = typeof known === 'string' ? known : '';
  if (typeof known === 'object') {
    const changed = transferContext(known.plan.send.bytes);
    const moves = await replayMoves(changed, known.plan.moves);
    if (moves === undefined) {
      const early = known === sending.changes ? context.earlyCheck : undefined;
      const sent = await sendAndCheck(plan, known, early, changed, context);
      const changedBare = bare.filter((path) => known.plan.send.normal.includes(path));
      const result = { ...sent, ...together([sent, await sendBare(changed, changedBare, context.workDirectory)]) };
      tellFindings(result.check, log);
      const { totals, unsettled } = known.plan;
      return { ...result, totals, unsettled, since: known, walk: null };
    }
    why = moves;
  }
  await context.earlyCheck?.giveUp();
  const walk = await sending.walk();
  const toSend = transferContext(walk.changedBytes);
  log.info(prepared.empty ? 'sending everything: nothing is there yet' : `walking everything on both sides: ${why}`);
  const { undeleted, ...result } = prepared.empty
    ? await sendAll(toSend, bare, context.workDirectory)
    : await walkAll(toSend, walk, { touched: sending.touched, bare }, context.workDirectory);
  return {
    ...result,
    totals: walk.totals,
    unsettled: walk.unsettled,
    since: undefined,
    walk: why,
    notKept: walk.notKept ?? undeleted,
  };
}

/**
 * Sends the changes and checks the part that is due: with them, where no early check does it beside them. Where that does not say
 * that all is well, the run checks the part once more.
 */
async function sendAndCheck(
  plan: Plan,
  known: KnownChanges,
  early: EarlyCheck | undefined,
  transfers: TransferContext,
  { workDirectory, clock, checkEveryMs }: OpenRunContext,
): Promise<PassesEnd & { readonly check: CheckPart }> {
  const own = () => nextCheck(plan, known, { now: clock.now().getTime(), everyMs: checkEveryMs });
  const { send, moves } = known.plan;
  // What lies in a directory that was renamed was looked at under neither name, and is not sent.
  if (early === undefined || moves.some(({ type }) => type === 'd')) {
    await early?.giveUp();
    const check = own();
    return { ...(await sendChanges(transfers, send, check, workDirectory)), check };
  }
  const { checkedUpTo, checkedAt, run } = known.catalogue;
  const nothing = checkPart({ directories: [], files: [], checkedUpTo, checkedAt }, plan.scan);
  const sent = await sendChanges(transfers, send, nothing, workDirectory);
  const seen = await early.seen(run, known.plan, plan.scan.beganAt);
  if (seen !== undefined) return { ...sent, check: { ...nothing, ...seen } };
  const check = own();
  return { ...together([sent, await checkDirectories(transfers, check, workDirectory)]), check };
}
