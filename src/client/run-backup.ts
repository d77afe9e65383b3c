import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { readCatalogues } from '../catalogue/store.ts';
import type { ClientConfig } from '../config/client-config.ts';
import type { ClientPaths } from '../config/paths.ts';
import { BytebackError, exitCodes, reasonOf } from '../errors.ts';
import { hookFailure } from '../hooks/run-hook.ts';
import { parseDestination, rsyncHost, sshHost } from '../protocol/destination.ts';
import type { CompleteRequest, HookOutcome } from '../protocol/messages.ts';
import type { RunId, SnapshotName } from '../protocol/names.ts';
import type { Clock } from '../system/clock.ts';
import type { Lock } from '../system/lock.ts';
import type { Log } from '../system/log.ts';
import type { MountSpace } from '../system/mount-space.ts';
import { sweepTemporaryFiles } from '../system/temporary.ts';
import { type EarlyCheck, mayCheckEarly, startEarlyCheck } from './early-check.ts';
import type { Grown } from './growth.ts';
import { type ClientHooks, clientHooks, findingsOfHooks } from './hooks.ts';
import { failedRun, finishedRun, type LastRun, readLastRun, writeLastRun } from './last-run.ts';
import { explainLocalTrouble, type Progress, whatBecameOf } from './local-trouble.ts';
import { collectMachine } from './machine/collect.ts';
import { openRun } from './open-run.ts';
import { type LeftOut, makePlan, type Plan, type Rules } from './plan.ts';
import { writeMounts } from './remembered-mounts.ts';
import type { Resent } from './resent.ts';
import { openRunDialogue, type RunDialogue } from './run-dialogue.ts';
import { decideSending } from './sending.ts';
import { openSession, type Session } from './session.ts';
import { showPath, toByteString } from './sources.ts';
import { makeWorkDirectory, takeLock } from './state-directory.ts';
import { endOf, tellEnd } from './tell-end.ts';
import type { Unread } from './transfer.ts';

/** What the command line says; everything else comes from the configuration. */
export interface BackupOptions {
  /** Instead of the configured ones; what lies outside them stays on the server as it is. */
  readonly sources?: readonly string[];
  /** After the configured ones. */
  readonly excludes?: readonly string[];
  readonly dryRun?: boolean;
  /** Mount points that are none any more: what lies there now is copied. */
  readonly forgetMounts?: readonly string[];
  /** Every file is looked at on both sides, whatever the catalogue says. */
  readonly full?: boolean;
  readonly retryNumber?: number;
  readonly retryDelayMs?: number;
  readonly ioTimeoutMs?: number;
  readonly bwlimit?: string;
}

export interface BackupDeps {
  readonly config: ClientConfig;
  readonly paths: ClientPaths;
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** byteback's own, for the server's record. */
  readonly version: string;
  /** Relative sources count from here. */
  readonly workingDirectory?: string;
}

/** What a run did; `--json` prints it. */
export interface RunReport {
  readonly status: 'ok' | 'partial';
  readonly dryRun: boolean;
  readonly destination: string;
  /** Escaped. */
  readonly sources: readonly string[];
  /** Null in a dry run. */
  readonly run: RunId | null;
  readonly snapshot: SnapshotName | null;
  readonly figures: CompleteRequest['figures'];
  readonly deletedFiles: number;
  readonly unread: readonly Unread[];
  /** Why all of the tree was walked on both sides; null when only the changes were sent. */
  readonly walk: string | null;
  /** Differences that only the rolling check saw, escaped: none is the promise. */
  readonly findings: readonly string[];
  /** The directories that most of what was sent came from, escaped; the largest first. */
  readonly grew: readonly Grown[];
  readonly excluded: readonly LeftOut[];
  /** Compressed files that were sent whole again: see docs/reports.md. */
  readonly resent: readonly Resent[];
  /** What ran before and after on this machine. */
  readonly hooks: readonly HookOutcome[];
}

/**
 * One run: scan, prepare, transfer, complete, record.
 * @throws BytebackError with the exit of the design's table; a record of the failure is left in the state directory.
 */
export async function runBackup(options: BackupOptions, deps: BackupDeps): Promise<RunReport> {
  const { config, paths, clock, signal } = deps;
  const destination = parseDestination(config.destination);
  if (!existsSync(paths.sshConfig)) {
    throw new BytebackError('usage', {
      what: 'this machine is not set up as a client',
      why: `there is no ${paths.sshConfig}`,
      fix: `run: byteback-setup-client --destination ${config.destination}`,
    });
  }
  const startedAt = clock.now();
  const telling = { paths, log: deps.log, target: { host: sshHost(destination), configFile: paths.sshConfig } };
  const state: RunState = { run: null, startedAt, isCompleting: false, snapshot: null };
  const { lock, before, workDirectory } = await begin(paths).catch(async (error: unknown) => {
    const failure = explainLocalTrouble(error, paths, state);
    // The other run tells how it ends.
    const isOther = failure instanceof BytebackError && failure.exit === 'locked';
    if (!options.dryRun && !isOther) {
      const facts = { startedAt, endedAt: clock.now(), destination: config.destination ?? '', sources: [], run: null };
      const record = failedRun(failure, { ...facts, hooks: [], before: undefined });
      await tellEnd(endOf(record, { isInterrupted: false, phase: 'before' }), telling);
    }
    throw failure;
  });
  const hooks = clientHooks(config, paths, deps);
  const session = openSession(
    { host: sshHost(destination), configFile: paths.sshConfig },
    {
      limits: {
        retryNumber: options.retryNumber ?? config.retryNumber,
        retryDelayMs: options.retryDelayMs ?? config.retryDelayMs,
      },
      clock,
      log: deps.log,
      signal,
      directory: workDirectory,
    },
  );
  const dialogue = openRunDialogue(session);
  const unwritten = (error: unknown) => deps.log.warn(`the record of this run cannot be written: ${reasonOf(error)}`);
  try {
    if (options.dryRun) await requireHooks(config, paths, deps.log);
    else {
      await hooks.before();
      dialogue.start();
    }
    const report = await runSteps(options, deps, {
      session,
      dialogue,
      hooks,
      workDirectory,
      state,
      before,
      host: rsyncHost(destination),
    });
    if (!report.dryRun) {
      // What a hook undoes may be what it looks at.
      await state.earlyCheck?.giveUp();
      await hooks.after(report);
      const everything = options.sources === undefined;
      if (everything && state.plan !== undefined) await writeMounts(paths.stateDir, state.plan.mounts);
      await writeLastRun(paths.lastRun, finishedRun(report, { startedAt, endedAt: clock.now(), everything, before }));
      const after = hooks.outcomes.filter(({ step }) => step === 'after');
      const exit = exitCodes[report.status === 'ok' && !after.some(hookFailure) ? 'ok' : 'partial'];
      const end = { run: report.run, status: report.status, exit, phase: 'after', hooks: after.slice(0, 20) } as const;
      await tellEnd(after.length === 0 ? undefined : { ...end, endedAt: clock.now().toISOString() }, telling);
    }
    return report;
  } catch (error) {
    const failure = signal.aborted ? interrupted(state) : explainLocalTrouble(error, paths, state);
    if (!options.dryRun) {
      const status = signal.aborted ? 'interrupted' : 'failed';
      await state.earlyCheck?.giveUp();
      await hooks.after({ status, run: state.run, snapshot: state.snapshot });
      const sources = (state.plan?.sources ?? []).map(showPath);
      const facts = {
        startedAt,
        endedAt: clock.now(),
        destination: config.destination,
        sources,
        run: state.run,
        hooks: hooks.outcomes,
        before,
      };
      const record = failedRun(failure, facts);
      // Where it cannot be written either, what went wrong first is what counts.
      await writeLastRun(paths.lastRun, record).catch(unwritten);
      const phase = state.plan !== undefined ? 'run' : record.exitCode === exitCodes.hookFailed ? 'before' : 'scan';
      await tellEnd(endOf(record, { isInterrupted: signal.aborted, phase }), telling);
    }
    throw failure;
  } finally {
    deps.log.progress(undefined);
    await state.earlyCheck?.giveUp();
    await dialogue.close();
    await session.close();
    await state.space?.close();
    // What stays is swept by the next run.
    await rm(workDirectory, { recursive: true, force: true }).catch(() => undefined);
    await lock.release();
  }
}

/** A dry run starts no hook; but it says of those that would not run. */
async function requireHooks(config: ClientConfig, paths: ClientPaths, log: Log): Promise<void> {
  for (const { what, why, fix, isPassedOver } of await findingsOfHooks(config, paths)) {
    if (!isPassedOver) throw new BytebackError('hookFailed', { what, why, fix });
    log.warn(`${what}: ${why}`);
  }
}

/** What is known of a run as it goes on, for its record. */
interface RunState extends Progress {
  readonly startedAt: Date;
  run: RunId | null;
  isCompleting: boolean;
  snapshot: SnapshotName | null;
  plan?: Plan;
  earlyCheck?: EarlyCheck;
  space?: MountSpace;
}

/** Takes the lock and makes the directory of a run's own files. Throws what the file system throws. */
async function begin(paths: ClientPaths): Promise<{ lock: Lock; before: LastRun | undefined; workDirectory: string }> {
  const lock = await takeLock(paths);
  try {
    const before = await readLastRun(paths.lastRun);
    const workDirectory = await makeWorkDirectory(paths.stateDir);
    // What was being written when a run, or the power, ended.
    for (const directory of [paths.stateDir, paths.configDir]) await sweepTemporaryFiles(directory);
    return { lock, before, workDirectory };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function interrupted(progress: Progress): BytebackError {
  return new BytebackError('interrupted', {
    what: 'interrupted',
    why: whatBecameOf(progress),
    fix: 'run byteback-backup again: what was sent is not sent again',
  });
}

interface Steps {
  readonly session: Session;
  readonly dialogue: RunDialogue;
  readonly hooks: ClientHooks;
  readonly workDirectory: string;
  readonly state: RunState;
  readonly before: LastRun | undefined;
  readonly host: string;
}

async function runSteps(options: BackupOptions, deps: BackupDeps, steps: Steps): Promise<RunReport> {
  const { config, paths, log, clock, signal } = deps;
  const { session, workDirectory, state } = steps;
  const limits = {
    ioTimeoutMs: options.ioTimeoutMs ?? config.ioTimeoutMs,
    bwlimit: options.bwlimit ?? config.bwlimit,
    extraFlags: config.original.rsyncFlags,
  };
  const onScan = (rulesWith: (cacheDirectories: readonly string[]) => Rules, space: MountSpace) => {
    state.earlyCheck = startEarlyCheck(rulesWith, {
      session,
      host: steps.host,
      ...limits,
      stateDir: paths.stateDir,
      workDirectory,
      now: clock.now().getTime(),
      everyMs: config.checkEveryMs,
      space,
      log,
    });
  };
  // The catalogue is read through while find walks the tree.
  const catalogues = readCatalogues(paths.stateDir);
  const [plan, kept] = await Promise.all([
    makePlan(options, {
      config,
      stateDir: paths.stateDir,
      configDir: paths.configDir,
      catalogues,
      onSpace: (space) => {
        state.space = space;
      },
      workingDirectory: deps.workingDirectory ?? '/',
      workDirectory,
      log,
      signal,
      ...(mayCheckEarly(options, steps.before, config.original.rsyncFlags) ? { onScan } : {}),
    }),
    catalogues,
  ]);
  state.plan = plan;
  for (const { path, why } of plan.leftOut) log.info(`leaving out ${path}: ${why}`);
  const begunAt = steps.before?.lastSnapshotBegunAt;
  const sending = decideSending(plan, {
    kept,
    workDirectory,
    full: options.full ?? false,
    // A run of one source says nothing of the rest, and so is none to compare with.
    everything: options.sources === undefined,
    changedSince: begunAt == null ? undefined : Date.parse(begunAt) / 1000,
    now: clock.now(),
    checkEveryMs: config.checkEveryMs,
  });
  const common = {
    dryRun: options.dryRun ?? false,
    destination: config.destination,
    sources: plan.sources.map(showPath),
    excluded: plan.leftOut,
    hooks: steps.hooks.outcomes,
  };
  if (options.dryRun) {
    const { changes, walk } = sending;
    const figures = {
      durationMs: Math.max(0, clock.now().getTime() - state.startedAt.getTime()),
      wireBytes: 0,
      sentBytes: changes?.plan.send.bytes ?? (await walk()).changedBytes,
      sentFiles: 0,
      files: (changes?.plan ?? (await walk())).totals.files,
      totalBytes: (changes?.plan ?? (await walk())).totals.bytes,
      retries: 0,
    };
    const deletedFiles = changes?.plan.send.deleted ?? 0;
    const walkWhy = changes === undefined ? 'there is no catalogue that helps' : null;
    const nothing = { run: null, snapshot: null, unread: [], findings: [], resent: [], grew: [] };
    return { ...common, ...nothing, status: 'ok', walk: walkWhy, figures, deletedFiles };
  }
  const done = await openRun(plan, sending, {
    // Of what is backed up each night, whatever is named this time.
    collectMachine: () => collectMachine(config.source.map(toByteString), log).catch(() => undefined),
    session,
    dialogue: steps.dialogue,
    host: steps.host,
    destination: config.destination,
    machineIdFile: paths.machineIdFile,
    stateDir: paths.stateDir,
    version: deps.version,
    workDirectory,
    startedAt: state.startedAt,
    ...limits,
    checkEveryMs: config.checkEveryMs,
    earlyCheck: state.earlyCheck,
    log,
    clock,
    hooks: steps.hooks.outcomes,
    hasAfter: await steps.hooks.hasAfter(),
    onRun: (run) => {
      state.run = run;
      state.isCompleting = false;
    },
    onComplete: (snapshot) => {
      state.isCompleting = true;
      state.snapshot = snapshot ?? null;
    },
  });
  return { ...common, ...done };
}
