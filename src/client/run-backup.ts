import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientConfig } from '../config/client-config.ts';
import type { ClientPaths } from '../config/paths.ts';
import { BytebackError, exitCodes, reasonOf } from '../errors.ts';
import { parseDestination, rsyncHost, sshHost } from '../protocol/destination.ts';
import {
  CompleteReplySchema,
  type CompleteRequest,
  PrepareReplySchema,
  protocolVersion,
} from '../protocol/messages.ts';
import type { RunId, SnapshotName } from '../protocol/names.ts';
import type { Clock } from '../system/clock.ts';
import { writeFileAtomically } from '../system/files.ts';
import { type Lock, tryLock } from '../system/lock.ts';
import type { Log } from '../system/log.ts';
import { serializeRules } from './filter-rules.ts';
import { readLastRun, writeLastRun } from './last-run.ts';
import { readMachineId } from './machine-id.ts';
import { type LeftOut, makePlan, type Plan } from './plan.ts';
import { ask } from './remote.ts';
import { openSession, type Session } from './session.ts';
import { showPath } from './sources.ts';
import { type Moved, transfer, type Unread } from './transfer.ts';

/** What the command line says; everything else comes from the configuration. */
export interface BackupOptions {
  /** Instead of the configured ones; what lies outside them stays on the server as it is. */
  readonly sources?: readonly string[];
  /** After the configured ones. */
  readonly excludes?: readonly string[];
  readonly dryRun?: boolean;
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
  readonly excluded: readonly LeftOut[];
}

/** The most file names that a record holds. */
const maxUnread = 1000;

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
  const lock = await takeLock(paths);
  const startedAt = clock.now();
  const state: RunState = { run: null, startedAt };
  await removeLeftovers(paths.stateDir);
  const workDirectory = await mkdtemp(join(paths.stateDir, workPrefix));
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
  try {
    const report = await runSteps(options, deps, { session, workDirectory, state, host: rsyncHost(destination) });
    if (!report.dryRun) await record(deps, state, report);
    return report;
  } catch (error) {
    const failure = signal.aborted ? interrupted() : error;
    if (!options.dryRun) await recordFailure(deps, state, failure);
    throw failure;
  } finally {
    deps.log.progress(undefined);
    await session.close();
    await rm(workDirectory, { recursive: true, force: true });
    await lock.release();
  }
}

/** The directory of a run's own files in the state directory begins so. */
const workPrefix = 'run-';

/** What a run that was killed left behind; the lock is held, so that no other run is using it. */
async function removeLeftovers(stateDir: string): Promise<void> {
  for (const name of await readdir(stateDir)) {
    if (name.startsWith(workPrefix)) await rm(join(stateDir, name), { recursive: true, force: true });
  }
}

/** What is known of a run as it goes on, for its record. */
interface RunState {
  readonly startedAt: Date;
  run: RunId | null;
  plan?: Plan;
}

function interrupted(): BytebackError {
  return new BytebackError('interrupted', {
    what: 'interrupted',
    why: 'no snapshot was taken',
    fix: 'run byteback-backup again: what was sent is not sent again',
  });
}

async function takeLock(paths: ClientPaths): Promise<Lock> {
  let lock: Lock | undefined;
  try {
    await mkdir(paths.stateDir, { recursive: true, mode: 0o700 });
    lock = await tryLock(paths.lock, { create: true });
  } catch (error) {
    if (error instanceof BytebackError) throw error;
    throw new BytebackError('usage', {
      what: `cannot write in ${paths.stateDir}`,
      why: reasonOf(error),
      fix: 'run byteback-backup as root, or set BYTEBACK_STATE_DIR to a directory of your own',
    });
  }
  if (lock === undefined) {
    throw new BytebackError('locked', {
      what: 'another run is going on',
      why: `${paths.lock} is locked`,
      fix: 'wait until it has ended',
    });
  }
  return lock;
}

interface Steps {
  readonly session: Session;
  readonly workDirectory: string;
  readonly state: RunState;
  readonly host: string;
}

async function runSteps(options: BackupOptions, deps: BackupDeps, steps: Steps): Promise<RunReport> {
  const { config, paths, log, clock, signal } = deps;
  const { session, workDirectory, state } = steps;
  const begunAt = (await readLastRun(paths.lastRun))?.lastSnapshotBegunAt;
  const plan = await makePlan(options, {
    config,
    ...(begunAt == null ? {} : { changedSince: Date.parse(begunAt) / 1000 }),
    stateDir: paths.stateDir,
    workingDirectory: deps.workingDirectory ?? '/',
    spoolDirectory: workDirectory,
    log,
    signal,
  });
  state.plan = plan;
  for (const { path, why } of plan.leftOut) log.info(`leaving out ${path}: ${why}`);
  const moved: Moved = { sentFiles: 0, sentBytes: 0, deletedFiles: 0, wireBytes: 0 };
  const figures = () => ({
    durationMs: Math.max(0, clock.now().getTime() - state.startedAt.getTime()),
    wireBytes: moved.wireBytes,
    sentBytes: moved.sentBytes,
    sentFiles: moved.sentFiles,
    files: plan.scan.files,
    totalBytes: plan.scan.bytes,
    retries: session.retries,
  });
  const report = (rest: Pick<RunReport, 'status' | 'run' | 'snapshot' | 'unread'>): RunReport => ({
    ...rest,
    dryRun: options.dryRun ?? false,
    destination: config.destination,
    sources: plan.sources.map(showPath),
    figures: figures(),
    deletedFiles: moved.deletedFiles,
    excluded: plan.leftOut,
  });
  if (options.dryRun) return report({ status: 'ok', run: null, snapshot: null, unread: [] });

  const machineId = await readMachineId({ installationFile: paths.machineIdFile });
  log.step(`asking ${config.destination} for a run`);
  const prepared = await session.persist('prepare', (connection) =>
    ask(
      connection,
      'prepare',
      {
        protocol: protocolVersion,
        version: deps.version,
        machineId,
        expectedBytes: plan.scan.changedBytes,
        files: plan.scan.files,
      },
      PrepareReplySchema,
      { signal },
    ),
  );
  state.run = prepared.run;
  log.debug(`run ${prepared.run}`);

  const rulesFile = join(workDirectory, 'rules');
  await writeFileAtomically(rulesFile, serializeRules(plan.rules), { mode: 0o600 });
  const context = {
    session,
    run: prepared.run,
    host: steps.host,
    ioTimeoutMs: options.ioTimeoutMs ?? config.ioTimeoutMs,
    ...bandwidth(options.bwlimit ?? config.bwlimit),
    extraFlags: config.original.rsyncFlags,
    log,
    moved,
    expectedBytes: plan.scan.changedBytes,
  };
  for (const list of plan.scan.large) {
    log.step(`sending ${list.files} large files in place`);
    await transfer(context, { kind: 'inPlace', listFile: list.path, blockSizeBytes: list.group });
  }
  log.step('sending everything else');
  const { status, unread } = await transfer(context, { kind: 'everything', rulesFile });

  log.step('taking the snapshot');
  const completed = await session.persist('later', (connection) =>
    ask(
      connection,
      'complete',
      {
        run: prepared.run,
        status,
        unread: unread.slice(0, maxUnread).map(({ path }) => path.slice(0, 16_384)),
        figures: figures(),
      } satisfies CompleteRequest,
      CompleteReplySchema,
      // The server prunes before it answers, and waits for btrfs to give the space back.
      { timeoutMs: 6 * 3_600_000, signal },
    ),
  );
  log.step(`snapshot ${completed.snapshot}`);
  return report({ status, run: prepared.run, snapshot: completed.snapshot, unread });
}

function bandwidth(bwlimit: string | undefined): { bwlimit?: string } {
  return bwlimit === undefined ? {} : { bwlimit };
}

async function record(deps: BackupDeps, state: RunState, report: RunReport): Promise<void> {
  const endedAt = deps.clock.now().toISOString();
  await writeLastRun(deps.paths.lastRun, {
    format: 1,
    startedAt: state.startedAt.toISOString(),
    endedAt,
    status: report.status,
    exitCode: report.status === 'ok' ? exitCodes.ok : exitCodes.partial,
    destination: report.destination,
    sources: [...report.sources],
    run: report.run,
    snapshot: report.snapshot,
    figures: report.figures,
    unread: report.unread.slice(0, maxUnread).map(({ path }) => path),
    error: null,
    lastSnapshotAt: endedAt,
    lastSnapshotBegunAt: state.startedAt.toISOString(),
  });
}

async function recordFailure(deps: BackupDeps, state: RunState, error: unknown): Promise<void> {
  const before = await readLastRun(deps.paths.lastRun);
  await writeLastRun(deps.paths.lastRun, {
    format: 1,
    startedAt: state.startedAt.toISOString(),
    endedAt: deps.clock.now().toISOString(),
    status: 'failed',
    exitCode: error instanceof BytebackError ? exitCodes[error.exit] : exitCodes.bug,
    destination: deps.config.destination,
    sources: (state.plan?.sources ?? []).map(showPath),
    run: state.run,
    snapshot: null,
    figures: null,
    unread: [],
    error: error instanceof BytebackError ? error.explanation : { what: reasonOf(error) },
    lastSnapshotAt: before?.lastSnapshotAt ?? null,
    lastSnapshotBegunAt: before?.lastSnapshotBegunAt ?? null,
  });
}
