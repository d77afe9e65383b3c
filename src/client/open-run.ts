import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { forgetOthers, saveCatalogue } from '../catalogue/store.ts';
import { escapeName } from '../protocol/file-name.ts';
import {
  type CompleteRequest,
  type HookOutcome,
  maxMessageBytes,
  type PrepareReply,
  type PrepareRequest,
  protocolVersion,
} from '../protocol/messages.ts';
import type { RunId, SnapshotName } from '../protocol/names.ts';
import type { Clock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import type { EarlyCheck } from './early-check.ts';
import { serializeRules } from './filter-rules.ts';
import { Growth } from './growth.ts';
import { readMachineId } from './machine-id.ts';
import { isWithin } from './mounts.ts';
import type { Plan } from './plan.ts';
import { ServerFailure } from './remote.ts';
import { readSizes, SentWhole, writeSizes } from './resent.ts';

import type { RunReport } from './run-backup.ts';
import type { RunDialogue } from './run-dialogue.ts';
import { type Sent, sendRun } from './send-run.ts';
import type { Sending } from './sending.ts';
import { rememberServer } from './server-says.ts';
import type { Session } from './session.ts';
import { showPath } from './sources.ts';
import type { Moved, Unread } from './transfer.ts';

/** What the steps on the server need to know. */
export interface OpenRunContext {
  readonly session: Session;
  readonly dialogue: RunDialogue;
  /** `user@host` as rsync wants it. */
  readonly host: string;
  readonly destination: string;
  readonly machineIdFile: string;
  readonly stateDir: string;
  readonly version: string;
  readonly workDirectory: string;
  /** The check that began with the scan, if it did. */
  readonly earlyCheck: EarlyCheck | undefined;
  /** Collects the manifest of this machine; called when there is time for it, while the server works. */
  readonly collectMachine: () => Promise<string | undefined>;
  readonly startedAt: Date;
  readonly ioTimeoutMs: number;
  readonly bwlimit: string | undefined;
  /** All of the tree is compared by checksum in this time, a part at each run. */
  readonly checkEveryMs: number;
  readonly extraFlags: readonly string[];
  readonly log: Log;
  readonly clock: Clock;
  /** Programs run on this machine after the run: the server hears how they ended. */
  readonly hasAfter: boolean;
  /** What ran before, for the server's record. */
  readonly hooks: readonly HookOutcome[];
  /** Told each id that the server gives out. */
  readonly onRun: (run: RunId) => void;
  /** Told when the snapshot is asked for, and with its name when it is there. */
  readonly onComplete: (snapshot?: SnapshotName) => void;
}

/** What a completed run leaves for its report. */
export type Done = Pick<
  RunReport,
  'status' | 'run' | 'snapshot' | 'unread' | 'walk' | 'findings' | 'grew' | 'resent' | 'figures' | 'deletedFiles'
>;

/** The most file names that a record holds. */
const maxUnread = 1000;
/** Directories that are named as those that grew. */
const mostGrown = 10;
/** The longest escaped name that the protocol carries. */
const longestName = 16_384;

/**
 * Prepare, transfer, complete. A retry goes on with the same run; only when the server has no such run open any more is
 * it prepared anew, once.
 */
export async function openRun(plan: Plan, sending: Sending, context: OpenRunContext): Promise<Done> {
  const moved: Moved = {
    sentFiles: 0,
    sentBytes: 0,
    deletedFiles: 0,
    wireBytes: 0,
    growth: new Growth(),
    sentWhole: new SentWhole(),
  };
  let ready: Ready | undefined;
  for (let again = false; ; again = true) {
    const preparing = prepare(sending, context);
    // What comes next is made ready while the server works.
    ready ??= await getReady(plan, context, preparing);
    const prepared = await preparing;
    try {
      const sent = await sendRun(plan, sending, context, { prepared, rulesFile: ready.rulesFile }, moved);
      return await complete(plan, sending, context, prepared, { ...sent, machine: await ready.machine }, moved);
    } catch (error) {
      if (again || !isNotOpen(error, prepared.run)) throw error;
      context.log.info('the server has this run open no more; it is prepared anew');
    }
  }
}

/** What the transfer and the end of a run need that does not depend on what the server says. */
interface Ready {
  readonly machine: Promise<string | undefined>;
  /** What rsync is told of what is left out. */
  readonly rulesFile: string;
}

async function getReady(plan: Plan, context: OpenRunContext, meanwhile: Promise<unknown>): Promise<Ready> {
  // Its failure is heard where it is waited for.
  meanwhile.catch(() => undefined);
  const rulesFile = join(context.workDirectory, 'rules');
  await writeFile(rulesFile, serializeRules(plan.rules), { mode: 0o600 });
  const machine = context.collectMachine();
  return { machine, rulesFile };
}

function isNotOpen(error: unknown, run: RunId): boolean {
  return error instanceof ServerFailure && error.exit === 'refused' && error.failure.what === `run ${run} is refused`;
}

async function prepare(sending: Sending, context: OpenRunContext): Promise<PrepareReply> {
  const { dialogue, log } = context;
  const machineId = await readMachineId({ installationFile: context.machineIdFile });
  const { changes } = sending;
  const walk = changes === undefined ? await sending.walk() : undefined;
  log.step(`asking ${context.destination} for a run`);
  const request: PrepareRequest = {
    protocol: protocolVersion,
    version: context.version,
    machineId,
    expectedBytes: changes?.plan.send.bytes ?? walk?.changedBytes ?? 0,
    files: (changes?.plan ?? walk)?.totals.files ?? 0,
    whole: sending.keepsCatalogue,
  };
  const prepared = await dialogue.prepare(request);
  context.onRun(prepared.run);
  log.about?.({ run: prepared.run, client: prepared.client });
  await rememberServer(context.stateDir, prepared);
  log.debug(`run ${prepared.run}`);
  return prepared;
}

async function complete(
  plan: Plan,
  sending: Sending,
  context: OpenRunContext,
  { run, machine: known, generation, takesEnds }: PrepareReply,
  sent: Sent & { readonly machine: string | undefined },
  moved: Moved,
): Promise<Done> {
  const { session, log, clock, stateDir } = context;
  const { totals, since } = sent;
  const status = plan.kept.length > 0 ? 'partial' : sent.status;
  const unread = withKept(plan, sent.unread);
  if (sending.keepsCatalogue && sent.notKept === undefined) {
    const now = clock.now().getTime();
    // Before it is asked for: a run that completes without our hearing of it still finds its catalogue.
    await saveCatalogue(stateDir, plan.scan.file, {
      run,
      rules: plan.identity,
      cacheDirectories: [...plan.scan.cacheDirectories],
      devices: plan.scan.devices,
      ...sent.scanned,
      unsettled: [...sent.unsettled],
      doubtful: [...doubtfulOf(plan, generation), ...(sent.doubtful ?? [])],
      fullWalkAt: since?.catalogue.fullWalkAt ?? now,
      checkedUpTo: sent.check?.checkedUpTo ?? '',
      checkedAt: sent.check?.checkedAt ?? now,
    });
  } else {
    log.info(`no catalogue is kept: ${sent.notKept ?? 'single sources were named'}`);
  }
  log.step('taking the snapshot');
  const figures = {
    durationMs: Math.max(0, clock.now().getTime() - context.startedAt.getTime()),
    wireBytes: moved.wireBytes + (context.earlyCheck?.wireBytes ?? 0),
    sentBytes: moved.sentBytes,
    sentFiles: moved.sentFiles,
    files: Math.max(0, totals.files),
    totalBytes: Math.max(0, totals.bytes),
    retries: session.retries,
  };
  const { machine } = sent;
  const isKnown = machine === undefined || createHash('sha256').update(machine).digest('hex') === known;
  const grew = moved.growth
    .top(mostGrown)
    .map((each) => ({ ...each, path: escapeName(Buffer.from(each.path, 'latin1')) }))
    .filter(({ path }) => path.length <= longestName);
  const { resent, sizes } = moved.sentWhole.compare(await readSizes(stateDir));
  const request: CompleteRequest = {
    run,
    status,
    grew,
    ...(resent.length === 0 ? {} : { resent }),
    unread: namesFor(unread),
    hooks: context.hooks.slice(0, 20),
    ...(takesEnds === true && context.hasAfter ? { endFollows: true } : {}),
    figures,
    ...(isKnown ? {} : { machine }),
  };
  context.onComplete();
  const { snapshot } = await context.dialogue.complete(request);
  context.onComplete(snapshot);
  await writeSizes(stateDir, sizes);
  // A run of single sources leaves the older catalogue: it still tells which files have another ctime.
  if (sending.keepsCatalogue) await forgetOthers(stateDir, run);
  log.step(`snapshot ${snapshot}`);
  const durationMs = Math.max(0, clock.now().getTime() - context.startedAt.getTime());
  return {
    status,
    run,
    snapshot,
    unread,
    walk: sent.walk,
    findings: sent.check?.findings ?? [],
    grew,
    resent,
    figures: { ...figures, durationMs },
    deletedFiles: moved.deletedFiles,
  };
}

/** What was not looked into comes first. Several passes may have met the same file: each path is named once. */
function withKept({ kept }: Plan, unread: readonly Unread[]): Unread[] {
  const byPath = new Map<string, Unread>();
  for (const one of [...kept.map(({ path, why }) => ({ path: showPath(path), why })), ...unread]) {
    if (!byPath.has(one.path)) byPath.set(one.path, one);
  }
  return [...byPath.values()];
}

/** The kept places of which the catalogue to be may say something else than what the server has. */
function doubtfulOf({ kept, keptFrom }: Plan, generation: string | null): string[] {
  const doubted = (path: string) => keptFrom?.doubtful.some((place) => isWithin(place, path) || isWithin(path, place));
  return kept.map(({ path }) => path).filter((path) => keptFrom?.run !== generation || doubted(path));
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
