import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Totals } from '../catalogue/changes.ts';
import { parentOf } from '../catalogue/record.ts';
import type { PrepareReply } from '../protocol/messages.ts';
import type { ChangePlan } from './change-plan.ts';
import type { EarlyCheck } from './early-check.ts';
import { keepRules, serializeRules } from './filter-rules.ts';
import type { OpenRunContext } from './open-run.ts';
import type { Plan } from './plan.ts';
import { type CheckPart, checkPart, nextCheck, tellFindings } from './rolling-check.ts';
import { checkDirectories, replayMoves, sendAll, sendBare, sendChanges, touchesRoot, walkAll } from './send-changes.ts';
import { isOpenPath, lockedMeanwhile, removeGone, sendOpen } from './send-open.ts';
import type { KnownChanges, Sending } from './sending.ts';
import { type SentPaths, type Settled, settle } from './settle-run.ts';
import { type NamedList, startNamedList } from './store-list.ts';
import { type Moved, type PassesEnd, pathOf, type TransferContext, together } from './transfer.ts';

/** What was sent, and what of it has to be remembered. */
export interface Sent extends Settled {
  /** What the scan saw: what the next run counts from. */
  readonly scanned: Totals;
  /** Undefined after a full walk. */
  readonly since: KnownChanges | undefined;
  readonly check?: CheckPart;
  /** Why everything was walked; null when it was not. */
  readonly walk: string | null;
  /** Directories of which it is not known what the server has, for a reason that came to light as they were sent. */
  readonly doubtful?: readonly string[];
}

/** What the server said, and what rsync is told of what is left out. */
interface Begun {
  readonly prepared: PrepareReply;
  readonly rulesFile: string;
}

/** Sends what has to be sent, and names what was locked while that went on. */
export async function sendRun(
  plan: Plan,
  sending: Sending,
  context: OpenRunContext,
  begun: Begun,
  moved: Moved,
): Promise<Sent> {
  const sent = await sendOrWalk(plan, sending, context, begun, moved);
  const locked = await lockedMeanwhile(plan);
  return locked.length === 0 ? sent : { ...sent, status: 'partial', unread: [...locked, ...sent.unread] };
}

/** Sends the changes where they are known, and walks everything where they are not. */
async function sendOrWalk(
  plan: Plan,
  sending: Sending,
  context: OpenRunContext,
  { prepared, rulesFile }: Begun,
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
    keepsMissing: plan.openDirectories.length > 0,
    root: plan.space.root,
    log,
    moved,
    expectedBytes,
  });
  const bare = bareOf(plan);
  let why = typeof known === 'string' ? known : '';
  if (typeof known === 'object') {
    const changed = transferContext(known.plan.send.bytes);
    const moves = await replayMoves(changed, known.plan.moves);
    if (moves === undefined) {
      // It loads while the transfer goes on. Without it, the list is asked for then.
      const listing = known.plan.left.length > 0 ? startNamedList(changed).catch(() => undefined) : undefined;
      try {
        return await sendKnown(plan, known, sending, changed, context, listing);
      } finally {
        (await listing)?.giveUp();
      }
    }
    why = moves;
  }
  await context.earlyCheck?.giveUp();
  const walk = await sending.walk();
  const toSend = transferContext(walk.changedBytes);
  log.info(prepared.empty ? 'sending everything: nothing is there yet' : `walking everything on both sides: ${why}`);
  const directories = new Set<string>();
  const passes: TransferContext = {
    ...toSend,
    rulesFile: await hideOpen(plan, rulesFile, context.workDirectory),
    onItem: ({ kind, name }) => {
      if (kind === 'sent') directories.add(parentOf(pathOf(name)));
    },
  };
  const end = prepared.empty
    ? await sendAll(passes, walk, bare, context.workDirectory)
    : await walkAll(passes, walk, { touched: sending.touched, bare }, context.workDirectory);
  const open = await sendOpen(toSend, plan, sending.touched, context.workDirectory);
  const sent: SentPaths = {
    scope: 'everything',
    compared: sending.touched,
    directories,
    hidden: end.doubtful,
    end: together([end, open]),
    totals: walk.totals,
    unsettled: walk.unsettled,
  };
  const settled = await settle(toSend, plan, sent, context.workDirectory);
  const notKept = walk.notKept ?? end.undeleted ?? settled.notKept;
  return {
    ...settled,
    scanned: walk.totals,
    doubtful: end.doubtful,
    since: undefined,
    walk: why,
    ...(notKept === undefined ? {} : { notKept }),
  };
}

/** Sends changes that are known, and counts what came. */
async function sendKnown(
  plan: Plan,
  known: KnownChanges,
  sending: Sending,
  changed: TransferContext,
  context: OpenRunContext,
  listing: Promise<NamedList | undefined> | undefined,
): Promise<Sent> {
  const early = known === sending.changes ? context.earlyCheck : undefined;
  const removed = await removeGone(changed, plan, known.plan.left, context.workDirectory);
  const sent = await sendAndCheck(plan, known, early, changed, context);
  const bare = bareOf(plan).filter((path) => known.plan.send.normal.includes(path));
  const result = { ...sent, ...together([removed, sent, await sendBare(changed, bare, context.workDirectory)]) };
  tellFindings(result.check, context.log);
  const settled = await settle(changed, plan, sentChanges(known.plan, result), context.workDirectory, await listing);
  return { ...settled, scanned: known.plan.totals, check: result.check, since: known, walk: null };
}

/** The rules for a walk, which must not look into encrypted directories. */
async function hideOpen({ openDirectories }: Plan, rulesFile: string, workDirectory: string): Promise<string> {
  if (openDirectories.length === 0) return rulesFile;
  const file = join(workDirectory, 'rules-of-walk');
  await writeFile(file, Buffer.concat([serializeRules(keepRules(openDirectories)), await readFile(rulesFile)]), {
    mode: 0o600,
  });
  return file;
}

/** Directories that are sent without what is in them. */
function bareOf(plan: Plan): string[] {
  return plan.kept.filter(({ extent }) => extent === 'contents').map(({ path }) => path);
}

/** What a run that sent changes may have touched on the server. */
function sentChanges(plan: ChangePlan, { check, ...end }: PassesEnd & { readonly check: SentCheck }): SentPaths {
  const { send, moves, left, totals, unsettled } = plan;
  const inPlace = send.inPlace.flatMap(({ checksum, paths }) => (checksum ? paths : []));
  const scope = new Set<string>();
  const named = [...left, ...send.checksum, ...moves.flatMap(({ from, to }) => [from, to])];
  if (touchesRoot({ send, moves })) named.push('/');
  for (const path of named) {
    scope.add(path);
    // Above the root there is nothing; the root itself was sent only where it is named.
    for (let at = parentOf(path); at !== '/' && !scope.has(at); at = parentOf(at)) scope.add(at);
  }
  return {
    // What came into a directory that was checked is known only from a list of all.
    scope: check.wrote ? 'everything' : [...scope],
    compared: [...send.checksum, ...inPlace],
    directories: new Set(left.map(parentOf)),
    hidden: [],
    end,
    totals,
    unsettled,
  };
}

/** The part that was checked, and whether that could write. */
interface SentCheck extends CheckPart {
  readonly wrote: boolean;
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
): Promise<PassesEnd & { readonly check: SentCheck }> {
  // Where it can write, the check looks for names itself: not where these may turn into cipher names.
  const isOpen = isOpenPath(plan);
  const own = () => {
    const check = nextCheck(plan, known, { now: clock.now().getTime(), everyMs: checkEveryMs });
    return { ...check, directories: check.directories.filter((path) => !isOpen(path)) };
  };
  const { moves } = known.plan;
  // What lies in a directory that was renamed was looked at under neither name, and is not sent.
  if (early === undefined || moves.some(({ type }) => type === 'd')) {
    await early?.giveUp();
    const check = own();
    const end = await sendChanges(transfers, known.plan, check, workDirectory);
    return { ...end, check: { ...check, wrote: check.directories.length > 0 } };
  }
  const { checkedUpTo, checkedAt, run } = known.catalogue;
  const nothing = checkPart({ directories: [], files: [], checkedUpTo, checkedAt }, plan.scan);
  const sent = await sendChanges(transfers, known.plan, nothing, workDirectory);
  const seen = await early.seen(run, known.plan, plan.scan.beganAt);
  if (seen !== undefined) return { ...sent, check: { ...nothing, ...seen, wrote: false } };
  const check = own();
  const checked = await checkDirectories(transfers, check, workDirectory);
  return { ...together([sent, checked]), check: { ...check, wrote: check.directories.length > 0 } };
}
