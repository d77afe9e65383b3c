import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lookUpCatalogues } from '../catalogue/store.ts';
import type { Log } from '../system/log.ts';
import { type RsyncConnection, runRsync } from '../system/rsync.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import { serializeRules } from './filter-rules.ts';
import type { LastRun } from './last-run.ts';
import type { Rules } from './plan.ts';
import { readAhead } from './read-ahead.ts';
import { type Due, duePart, isNewerThan, weightOf } from './rolling-check.ts';
import type { BackupOptions } from './run-backup.ts';
import { contentsOf, writeList } from './send-changes.ts';
import { type Session, whyOf } from './session.ts';
import { pathOf } from './transfer.ts';

/**
 * The part of the tree that is due to be compared by checksum, looked at while the tree is scanned: what the last run held is
 * known before, and nearly always nothing but what changed differs from it. Nothing is written, here or there, so that it
 * needs no run; where it saw something else, or could not be done, the run itself checks.
 */
export interface EarlyCheck {
  /**
   * What was checked, when it has ended and saw nothing but what is known; undefined when that cannot be said.
   * @param differing the paths that the scan found changed
   * @param scannedAt when the scan began, in seconds since 1970: what changed since is nothing that should have been known
   */
  seen(run: string, differing: readonly string[], scannedAt: number): Promise<Due | undefined>;
  /** Bytes that went over for it so far. */
  readonly wireBytes: number;
  /** Ends it, if it goes on. */
  giveUp(): Promise<void>;
}

export interface EarlyCheckContext extends Pick<RsyncConnection, 'host' | 'ioTimeoutMs' | 'extraFlags'> {
  readonly session: Session;
  readonly bwlimit: string | undefined;
  readonly stateDir: string;
  readonly workDirectory: string;
  /** In milliseconds since 1970. */
  readonly now: number;
  readonly everyMs: number;
  readonly log: Log;
}

/** With more that differs than this the run had better look itself. */
const mostDifferences = 10_000;

/** A part of no more than this is read ahead: it stays in the kernel's cache until it is looked at. */
const mostReadAheadBytes = 512 * 1024 * 1024;

/** What a look that ended told. */
interface Told {
  readonly run: string;
  readonly due: Due;
  /** Absolute. */
  readonly different: readonly string[];
}

/** Whether the server probably has what the newest catalogue says, and a check may be due. */
export function mayCheckEarly(options: BackupOptions, before: LastRun | undefined): boolean {
  const { dryRun, full, sources } = options;
  return !dryRun && !full && sources === undefined && (before?.status === 'ok' || before?.status === 'partial');
}

/** @param rulesWith what counts when these are the caches of the tree */
export function startEarlyCheck(
  rulesWith: (cacheDirectories: readonly string[]) => Rules,
  context: EarlyCheckContext,
): EarlyCheck {
  const stop = new AbortController();
  const signal = AbortSignal.any([context.session.signal, stop.signal]);
  let wireBytes = 0;
  const look = async (): Promise<Told | undefined> => {
    const [catalogue] = (await lookUpCatalogues(context.stateDir)).catalogues;
    if (catalogue === undefined) return undefined;
    const rules = rulesWith(catalogue.cacheDirectories);
    if (rules.identity !== catalogue.rules || rules.taken === undefined) return undefined;
    const tree = { file: catalogue.file, taken: rules.taken, totals: catalogue, last: catalogue };
    const times = { now: context.now, everyMs: context.everyMs };
    const due = duePart(tree, times);
    const told = { run: catalogue.run, due };
    if (due.directories.length === 0) return { ...told, different: [] };
    context.log.step(`checking ${due.directories.length} directories by checksum`);
    if (weightOf(tree, times) <= mostReadAheadBytes) void readAhead(due.directories, { ...context, signal });
    const { exitCode, different, ...end } = await compare(rules, due, context, signal);
    wireBytes = end.wireBytes;
    // 24: something vanished here meanwhile.
    return [0, 24].includes(exitCode) && different.length <= mostDifferences ? { ...told, different } : undefined;
  };
  const looking = look().catch((error: unknown) => {
    context.log.debug(`the early check ended: ${whyOf(error)}`);
    return undefined;
  });
  return {
    get wireBytes() {
      return wireBytes;
    },
    async seen(run, differing, scannedAt) {
      const told = await looking;
      if (told === undefined || told.run !== run) return undefined;
      const unknown = new Set(told.different);
      for (const path of differing) unknown.delete(path);
      const unexpected = [...unknown].filter((path) => !isNewerThan(path, scannedAt));
      if (unexpected.length === 0) return told.due;
      context.log.debug(`the early check saw ${unexpected.length} differences that the scan did not`);
      return undefined;
    },
    async giveUp() {
      stop.abort();
      await looking;
    },
  };
}

/** One rsync over the directories that are due. */
async function compare(
  { rules }: Rules,
  { directories }: Due,
  context: EarlyCheckContext,
  signal: AbortSignal,
): Promise<{ exitCode: number; different: string[]; wireBytes: number }> {
  const { session, workDirectory, host, ioTimeoutMs, bwlimit, extraFlags } = context;
  const rulesFile = join(workDirectory, 'early-rules');
  await writeFile(rulesFile, serializeRules(rules), { mode: 0o600 });
  const listFile = await writeList(join(workDirectory, 'early-check'), directories.map(contentsOf));
  const { sessionArgv } = await session.connect();
  const connection: RsyncConnection = {
    sessionArgv,
    host,
    remoteCommand: 'check',
    ioTimeoutMs,
    rulesFile,
    ...(bwlimit === undefined ? {} : { bwlimit }),
    ...(extraFlags === undefined ? {} : { extraFlags }),
  };
  const different: string[] = [];
  const item = ({ name }: RsyncItem) => {
    if (different.length <= mostDifferences) different.push(pathOf(name));
  };
  const { exitCode, wireBytes, stderr } = await runRsync(
    connection,
    { kind: 'check', listFile, dryRun: true },
    { watcher: { item }, signal },
  );
  signal.throwIfAborted();
  context.log.debug(`the early check ended with ${exitCode}: ${stderr.trim().slice(-2000)}`);
  return { exitCode, different, wireBytes };
}
