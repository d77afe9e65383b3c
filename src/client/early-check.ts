import { lstatSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lookUpCatalogues } from '../catalogue/store.ts';
import type { Log } from '../system/log.ts';
import type { MountSpace } from '../system/mount-space.ts';
import { type RsyncConnection, runRsync } from '../system/rsync.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import { distrustsLinks } from '../system/rsync-version.ts';
import type { ChangePlan } from './change-plan.ts';
import { serializeRules } from './filter-rules.ts';
import type { LastRun } from './last-run.ts';
import { wayTo } from './plain-way.ts';
import type { Rules } from './plan.ts';
import { readAhead } from './read-ahead.ts';
import { type Due, duePart, weightOf } from './rolling-check.ts';
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
   * What was checked, when it has ended and saw nothing but what this run sends, or the next one will; undefined when that
   * cannot be said.
   * @param run the run that the changes are counted from
   * @param scannedAt when the scan began, in seconds since 1970
   */
  seen(run: string, changes: ChangePlan, scannedAt: number): Promise<Due | undefined>;
  /** Bytes that went over for it so far. */
  readonly wireBytes: number;
  /** Ends it, if it goes on. */
  giveUp(): Promise<void>;
}

export interface EarlyCheckContext extends Pick<RsyncConnection, 'host' | 'ioTimeoutMs'> {
  readonly session: Session;
  readonly bwlimit: string | undefined;
  readonly stateDir: string;
  readonly workDirectory: string;
  /** In milliseconds since 1970. */
  readonly now: number;
  readonly everyMs: number;
  readonly space: MountSpace;
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
  /** By absolute path: whether nothing was there on the server. */
  readonly different: ReadonlyMap<string, boolean>;
}

/**
 * Whether the server probably has what the newest catalogue says.
 * @param ownFlags what the admin tells rsync besides, which may change what it tells of what it sees
 */
export function mayCheckEarly(
  { dryRun, full, sources }: BackupOptions,
  before: LastRun | undefined,
  ownFlags: readonly string[],
): boolean {
  const isUsual = !dryRun && !full && sources === undefined && ownFlags.length === 0;
  return isUsual && (before?.status === 'ok' || before?.status === 'partial');
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
    if (due.directories.length === 0) return { ...told, different: new Map() };
    context.log.step(`checking ${due.directories.length} directories by checksum`);
    const enough = new AbortController();
    const reading =
      weightOf(tree, times) > mostReadAheadBytes
        ? undefined
        : readAhead(due.files, AbortSignal.any([signal, enough.signal]), undefined, context.space.root);
    try {
      const { isWhole, different, ...end } = await compare(rules, due, context, signal);
      wireBytes = end.wireBytes;
      return isWhole ? { ...told, different } : undefined;
    } finally {
      enough.abort();
      await reading;
    }
  };
  const looking = look().catch((error: unknown) => {
    context.log.debug(`the early check ended: ${whyOf(error)}`);
    return undefined;
  });
  return {
    get wireBytes() {
      return wireBytes;
    },
    async seen(run, changes, scannedAt) {
      const told = await looking;
      if (told === undefined || told.run !== run) return undefined;
      if (told.due.directories.length === 0) return told.due;
      const unexpected = new Map(told.different);
      for (const path of changes.differing) unexpected.delete(path);
      // What is new here goes by size and time, and is sent for certain only where nothing is.
      for (const path of changes.added) if (unexpected.get(path) === true) unexpected.delete(path);
      const count = [...unexpected.keys()].filter(
        (path) => !isChangedSince(context.space.root + path, scannedAt),
      ).length;
      if (count === 0) return told.due;
      context.log.debug(`the early check saw ${count} differences that the scan did not`);
      return undefined;
    },
    async giveUp() {
      stop.abort();
      await looking;
    },
  };
}

/** What itself changed since the scan, the next run sees changed. What vanished meanwhile is not known. */
function isChangedSince(path: string, seconds: number): boolean {
  try {
    return lstatSync(Buffer.from(path, 'latin1')).ctimeMs / 1000 >= seconds;
  } catch {
    // It is not there.
    return false;
  }
}

/** One rsync over the directories that are due. */
async function compare(
  { rules }: Rules,
  { directories }: Due,
  context: EarlyCheckContext,
  signal: AbortSignal,
): Promise<{ isWhole: boolean; different: Map<string, boolean>; wireBytes: number }> {
  const { session, workDirectory, host, ioTimeoutMs, bwlimit, space } = context;
  const rulesFile = join(workDirectory, 'early-rules');
  await writeFile(rulesFile, serializeRules(rules), { mode: 0o600 });
  const listFile = await writeList(join(workDirectory, 'early-check'), directories.map(contentsOf));
  // rsync is told to trust the links on its way; so there must be none.
  if (directories.some((path) => wayTo(path, space.root) === 'elsewhere'))
    throw new Error('there is a link on the way');
  const [{ sessionArgv }, trustsLinks] = await orAborted(Promise.all([session.connect(), distrustsLinks()]), signal);
  const connection: RsyncConnection = {
    sessionArgv,
    host,
    remoteCommand: 'check',
    ioTimeoutMs,
    rulesFile,
    enter: space.enter,
    ...(bwlimit === undefined ? {} : { bwlimit }),
  };
  const different = new Map<string, boolean>();
  const item = ({ name, isNew }: RsyncItem) => {
    if (different.size <= mostDifferences) different.set(pathOf(name), isNew);
  };
  const { exitCode, wireBytes, stats, stderr } = await runRsync(
    connection,
    { kind: 'check', listFile, dryRun: true, trustsLinks },
    { watcher: { item }, signal },
  );
  signal.throwIfAborted();
  context.log.debug(`the early check ended with ${exitCode}: ${stderr.trim().slice(-2000)}`);
  // 24: something vanished here meanwhile. Without its figures at the end it has not told all.
  const isWhole = [0, 24].includes(exitCode) && stats.wireBytes > 0 && different.size <= mostDifferences;
  return { isWhole, different, wireBytes };
}

/** Waits no longer than until the signal. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody else may be waiting for it.
  work.catch(() => undefined);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
