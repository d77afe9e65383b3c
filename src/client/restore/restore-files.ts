import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BytebackError } from '../../errors.ts';
import { parseDestination, rsyncHost } from '../../protocol/destination.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { type SnapshotName, snapshotNameAt } from '../../protocol/names.ts';
import type { Pull } from '../../system/rsync-pull.ts';
import { makeTemporaryDirectory } from '../../system/temporary.ts';
import { readLastRun } from '../last-run.ts';
import type { Session } from '../session.ts';
import { carryOut, type Work } from './carry-out.ts';
import { startPullAhead, type WaitingPull } from './early-pull.ts';
import { findInTheWay, type InTheWay, inTheWayInWords, inTheWayOf, topmost } from './in-the-way.ts';
import { absolutePath, everything, isEverything, isPattern, relativeToRoot } from './names.ts';
import { type OvertakenWords, unlessOvertaken } from './overtaken.ts';
import { directoryFor, planTargets, type RestoreOptions } from './plan-targets.ts';
import type { LeftOut } from './privileges.ts';
import { type AskedPull, type Failed, pullThrough } from './pull.ts';
import { hasAllParents, markOf, type Target, whatIsThere } from './target.ts';
import { startList } from './tree-list.ts';
import { openRestoreSession, type RestoreDeps } from './versions.ts';
import { checkWay } from './way.ts';

/** What was restored; `--json` prints it. */
export interface RestoreReport {
  readonly status: 'ok' | 'partial';
  /** One for each snapshot that something was taken from. */
  readonly restored: readonly {
    readonly snapshot: SnapshotName;
    readonly to: string;
    readonly paths: readonly string[];
  }[];
  /** Files whose content was brought. */
  readonly files: number;
  readonly bytes: number;
  /** Files that are there now as the snapshots have them, each counted; null where the server has no list of what it holds. */
  readonly all: { readonly files: number; readonly bytes: number } | null;
  /** `checksums`: everything was read again after it was written, and compared with the server's checksums. */
  readonly verified: 'checksums' | 'no';
  /** What could not be restored, or differs from the snapshot. */
  readonly failed: readonly Failed[];
  /** What a restore on the server left out; null where nothing is left out. */
  readonly leftOut: LeftOut | null;
}

/** What a restore came to. */
export interface Restored {
  readonly report: RestoreReport;
  /** To be called when that has been told: until then the same command goes on, wherever it was cut. */
  readonly settle: () => Promise<void>;
}

/**
 * Restores files from snapshots.
 * @throws BytebackError `usage` when nothing of it can be done as asked; nothing was written then.
 */
export async function restoreFiles(options: RestoreOptions, deps: RestoreDeps): Promise<Restored> {
  if (process.getuid?.() !== 0) deps.log.warn('not run by root: everything restored will be yours, whoever owned it');
  const session = openRestoreSession(deps, true);
  // Whoever needs it first is told how it went.
  session.connect().catch(() => undefined);
  const temporary = await makeTemporaryDirectory(tmpdir(), 'byteback-restore-');
  let early: WaitingPull | undefined;
  try {
    early = await startProbable(options, session, temporary, deps);
    const { targets, missing, expectedBytes, lists } = await planTargets(options, session, deps);
    const works: Work[] = [];
    for (const target of targets) {
      const prepare = () => prepareTarget(target, lists, options, session, temporary, deps);
      works.push(await unlessOvertaken(target, overtakenWords(options, target, false), session, prepare, () => true));
    }
    if (!works.some((work) => isSame(early, work))) await early?.giveUp();
    const failed: Failed[] = [...missing];
    let files = 0;
    let bytes = 0;
    let all: RestoreReport['all'] = { files: 0, bytes: 0 };
    let leftOut: LeftOut | null = null;
    const settles: (() => Promise<void>)[] = [];
    for (const prepared of works) {
      const work = isSame(early, prepared) ? { ...prepared, early } : prepared;
      const words = overtakenWords(options, work.target, true);
      const carry = () => carryOut(work, options, session, deps, expectedBytes);
      const result = await unlessOvertaken(work.target, words, session, carry, (done) => done.failed.length === 0);
      settles.push(result.settle);
      files += result.files;
      bytes += result.bytes;
      failed.push(...result.failed);
      leftOut = sumOf(leftOut, result.leftOut);
      all =
        all === null || result.all === undefined
          ? null
          : { files: all.files + result.all.files, bytes: all.bytes + result.all.bytes };
    }
    const report: RestoreReport = {
      status: failed.length === 0 ? 'ok' : 'partial',
      restored: targets.map(({ snapshot, directory, names }) => ({
        snapshot,
        to: directory,
        paths: names.map((name) => shown(name)),
      })),
      files,
      bytes,
      all,
      verified: options.verify ? 'checksums' : 'no',
      failed,
      leftOut,
    };
    const settle = async () => {
      for (const each of settles) await each();
    };
    return { report, settle };
  } finally {
    await early?.giveUp();
    await session.close();
    await rm(temporary, { recursive: true, force: true });
  }
}

/** What is said when the server has pruned the snapshot meanwhile. */
function overtakenWords(options: RestoreOptions, { directory }: Target, isBegun: boolean): OvertakenWords {
  const came = `what came so far is in ${escapeName(directory)}, and is not complete`;
  // Without --to each snapshot has a directory of its own.
  const over = options.to === undefined || options.inPlace ? '' : ' --overwrite';
  return {
    done: 'restored',
    ...(isBegun ? { sofar: came } : {}),
    again: (next) =>
      options.all
        ? 'give the same command again: it restores the versions that are left'
        : `${next} has it: give the same command with --snapshot ${next}${over}`,
  };
}

function sumOf(before: LeftOut | null, more: LeftOut | undefined): LeftOut | null {
  if (before === null || more === undefined) return more ?? before;
  return {
    devices: before.devices + more.devices,
    setuid: before.setuid + more.setuid,
    capabilities: before.capabilities + more.capabilities,
  };
}

function shown(name: Buffer): string {
  return name.equals(everything) ? '/' : `/${escapeName(name)}`;
}

/** What all pulls of a target have in common. */
function askedOf(target: Target, temporary: string, { config }: RestoreDeps): Omit<AskedPull, 'mode'> {
  return {
    host: rsyncHost(parseDestination(config.destination)),
    remoteCommand: `restore ${target.snapshot}`,
    listFile: join(temporary, target.snapshot),
    everything: isEverything(target.names),
    directory: target.directory,
    ioTimeoutMs: config.ioTimeoutMs,
    ...(config.bwlimit === undefined ? {} : { bwlimit: config.bwlimit }),
  };
}

/**
 * Starts what will probably be pulled: from the snapshot of the last run, to where nothing is yet. Undefined where it is not
 * so plain.
 */
async function startProbable(
  options: RestoreOptions,
  session: Session,
  temporary: string,
  deps: RestoreDeps,
): Promise<WaitingPull | undefined> {
  if (options.inPlace || options.all || options.at !== undefined) return undefined;
  // Which of its meanings counts, is told by what there is.
  if (options.paths.some((path) => path.includes('\\'))) return undefined;
  // On the server itself the last run is not this client's.
  const snapshot = deps.local === undefined ? (await readLastRun(deps.paths.lastRun))?.snapshot : undefined;
  if (snapshot === undefined || snapshot === null) return undefined;
  // The server has an event of each session that asks for a snapshot that is not there.
  if (![undefined, 'latest', snapshot].includes(options.snapshot)) return undefined;
  const paths = options.paths.map((path) => absolutePath(path, deps.workingDirectory));
  if (paths.some(isPattern)) return undefined;
  const names = paths.map((path) => relativeToRoot(path));
  // Only a list can be waited for.
  if (paths.length === 0 || isEverything(names)) return undefined;
  const target = { directory: directoryFor(options, snapshot, false, deps), snapshot, names };
  if ((await markOf(target, deps.paths.stateDir).read()) !== undefined) return undefined;
  if ((await whatIsThere(target)) !== undefined) return undefined;
  const mode = { kind: 'fresh' } as const;
  const pull = { ...askedOf(target, temporary, deps), mode, files: 'most', digests: options.verify } as const;
  return startPullAhead(pull, session);
}

/** Whether what was started is what is wanted. */
function isSame(early: WaitingPull | undefined, { pull, begun }: Work): early is WaitingPull {
  return (
    early?.waits === true &&
    begun === undefined &&
    pull.mode.kind === 'fresh' &&
    pull.remoteCommand === early.pull.remoteCommand &&
    pull.directory === early.pull.directory
  );
}

/** Checks what is there before anything is written, and asks where something would be replaced. */
async function prepareTarget(
  target: Target,
  lists: boolean,
  options: RestoreOptions,
  session: Session,
  temporary: string,
  deps: RestoreDeps,
): Promise<Work> {
  const { paths, clock, log } = deps;
  const common = askedOf(target, temporary, deps);
  await writeFile(common.listFile, Buffer.concat(target.names.flatMap((name) => [name, Buffer.from([0])])), {
    mode: 0o600,
  });
  checkWay(target);
  const unprivileged = deps.local !== undefined && !options.privileged;
  const keepParents = options.inPlace && (await hasAllParents(target));
  const asideSuffix = `.before-${snapshotNameAt(clock.now())}`;
  const suffix = options.overwrite ? undefined : asideSuffix;
  const lookAside = async () => ({
    names: lists
      ? await giveWay(target, common.listFile, { keepParents, unprivileged, all: !options.overwrite }, session)
      : [],
    suffix: asideSuffix,
  });
  if (options.inPlace) {
    const known = await lookAside();
    const compare: AskedPull = { ...common, mode: { kind: 'compare', keepParents } };
    const names = await agreeToReplace(compare, suffix, lists ? known.names : undefined, options, session, deps);
    const aside = { ...known, names };
    const begun = await markOf(target, paths.stateDir).read();
    return {
      target,
      lists,
      unprivileged,
      begun,
      aside,
      pull: { ...common, mode: { kind: 'over', suffix, keepParents, checksum: true } },
    };
  }
  const begun = await markOf(target, paths.stateDir).read();
  const there = begun === undefined ? await whatIsThere(target) : undefined;
  if (there !== undefined && !options.overwrite) {
    throw new BytebackError('usage', {
      what: `${escapeName(there)} is there already`,
      why: 'nothing is written over what is there',
      fix: 'restore to another directory with --to, or replace it with --overwrite',
    });
  }
  if (begun !== undefined) log.step(`going on with the restore that was begun to ${escapeName(target.directory)}`);
  const mode: Pull['mode'] =
    there === undefined && begun?.kind !== 'over'
      ? { kind: 'fresh' }
      : { kind: 'over', suffix: undefined, keepParents: false, checksum: true };
  const aside = there === undefined ? undefined : await lookAside();
  return { target, lists, unprivileged, begun, pull: { ...common, mode }, ...(aside === undefined ? {} : { aside }) };
}

/** What gives way to what comes. A directory does in any case: nobody has said what is in it. */
async function giveWay(
  target: Target,
  listFile: string,
  {
    keepParents,
    unprivileged,
    all,
  }: { readonly keepParents: boolean; readonly unprivileged: boolean; readonly all: boolean },
  session: Session,
): Promise<InTheWay[]> {
  const list = await startList(target.snapshot, { names: listFile, list: `${listFile}-list` }, session).whole();
  const makesDevices = process.getuid?.() === 0 && !unprivileged;
  const found = await findInTheWay(list, target.directory, { keepsParents: keepParents, makesDevices });
  return found.filter((each) => all || each.found === 'directory');
}

/** How many names of what would be replaced are shown. */
const shownReplaced = 20;

/**
 * Shows what a restore in place would replace, and asks.
 * @param known what is of another kind; undefined where the server does not list what it has
 * @returns what is to give way
 */
async function agreeToReplace(
  compare: AskedPull,
  suffix: string | undefined,
  known: readonly InTheWay[] | undefined,
  options: RestoreOptions,
  session: Session,
  { log, confirm }: RestoreDeps,
): Promise<readonly InTheWay[]> {
  const replaced: string[] = [];
  let created = 0;
  const unlisted: InTheWay[] = [];
  log.step('comparing with what is there');
  await pullThrough(compare, session, log, {
    item: ({ flags, name }) => {
      // Ten pluses: it is not there. A dot in front: only owner, mode, times and the like would change.
      if (flags.includes('+++')) {
        created += 1;
        if (known === undefined) unlisted.push(...inTheWayOf(compare.directory, { flags, name }));
      } else replaced.push(`${flags.startsWith('.') ? 'attributes of ' : ''}/${escapeName(name)}`);
    },
  });
  const aside = known ?? topmost(unlisted);
  if (replaced.length === 0 && aside.length === 0) return aside;
  for (const each of aside.slice(0, shownReplaced)) log.warn(inTheWayInWords(each));
  if (aside.length > shownReplaced) log.warn(`… and ${aside.length - shownReplaced} more to move aside`);
  for (const name of replaced.slice(0, shownReplaced)) log.warn(`would replace ${name}`);
  if (replaced.length > shownReplaced) log.warn(`… and ${replaced.length - shownReplaced} more`);
  if (options.yes) return aside;
  const kept =
    suffix === undefined
      ? 'What is replaced is lost.'
      : `What is replaced is kept beside it, with ${suffix} at its name.`;
  const moved =
    aside.length === 0 ? '' : `Move aside ${aside.length} of another kind, with what is in them, and restore? `;
  // What gives way is made anew, too: it is counted once.
  const anew = Math.max(0, created - aside.length);
  if (await confirm(`${moved}Replace ${replaced.length}, and make ${anew} anew? ${kept}`)) return aside;
  throw new BytebackError('usage', { what: 'nothing was restored', why: 'the answer was no' });
}
