import { writeFile } from 'node:fs/promises';
import { escapeName } from '../../protocol/file-name.ts';
import { snapshotNameAt } from '../../protocol/names.ts';
import type { Session } from '../session.ts';
import { compareContent } from './content.ts';
import { type InTheWay, moveAside } from './in-the-way.ts';
import { sweepLeftovers } from './leftovers.ts';
import { type LeftOut, withoutPrivileges } from './privileges.ts';
import { type AskedPull, type EarlyPull, type Failed, type PullReport, type PullWatch, pullThrough } from './pull.ts';
import { type Begun, makeTarget, markOf, type Target } from './target.ts';
import { startList, type TreeList } from './tree-list.ts';
import { bringWithoutList } from './uncounted.ts';
import type { RestoreDeps } from './versions.ts';
import { checkWay } from './way.ts';
import { type Counted, countWhatCame } from './what-came.ts';
import { writtenFiles } from './written.ts';

/** One target, looked at and agreed on. */
export interface Work {
  readonly target: Target;
  readonly pull: AskedPull;
  /** Set when this very restore was begun before, and cut. */
  readonly begun: Begun | undefined;
  /** Whether the server lists what it has: an older one does not. */
  readonly lists: boolean;
  /** Whether what would give rights on this machine is left out. */
  readonly unprivileged: boolean;
  /** The pull, where it has started already. */
  readonly early?: EarlyPull;
  /** What is of another kind than what comes, and gives way. */
  readonly aside?: { readonly names: readonly InTheWay[]; readonly suffix: string };
}

/** What became of one target. */
export interface CarriedOut {
  /** Files whose content came over, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Files that are there now as the snapshot has them; undefined where the server has no list of them. */
  readonly all: { readonly files: number; readonly bytes: number } | undefined;
  readonly failed: readonly Failed[];
  readonly leftOut: LeftOut | undefined;
  /** To be called when it has been told how the whole command ended: until then the same command goes on. */
  readonly settle: () => Promise<void>;
}

/** How often what is lacking is brought once more. */
const mostRounds = 2;

/** Brings the files of one target, counts them against what the snapshot has, and compares what is in them. */
export async function carryOut(
  { target, pull: asked, begun, lists, unprivileged, early, aside }: Work,
  options: { readonly verify: boolean },
  session: Session,
  deps: RestoreDeps,
  expectedBytes: number | undefined,
): Promise<CarriedOut> {
  const { log, paths, clock } = deps;
  const begunMs = clock.now().getTime();
  log.step(`restoring from ${target.snapshot} to ${escapeName(target.directory)}`);
  checkWay(target);
  await makeTarget(target.directory, unprivileged ? 0o700 : 0o777);
  const mark = markOf(target, paths.stateDir);
  const isRoot = process.getuid?.() === 0;
  const givesRights = isRoot && !unprivileged;
  const kind = asked.mode.kind === 'fresh' ? 'fresh' : 'over';
  await mark.set(begun ?? { kind, begunMs });
  if (aside !== undefined) moveAside(aside.names, target.directory, aside.suffix, log);
  const list = lists
    ? startList(target.snapshot, { names: asked.listFile, list: `${asked.listFile}-list` }, session)
    : undefined;
  if (unprivileged && list === undefined) throw new Error('this server lists what it has');
  const safe =
    unprivileged && list !== undefined ? await withoutPrivileges(await list.whole(), asked, asked.listFile) : undefined;
  const pull = safe?.pull ?? asked;

  // What this pull brings is read again while it goes on, and compared with the checksum that the server sent with it.
  const wrong = new Map<string, Failed>();
  const proven = new Set<string>();
  let isCutOnce = begun !== undefined;
  const written = await writtenFiles(pull.directory, (name, why) => {
    const path = `/${escapeName(name)}`;
    if (why === undefined) {
      proven.add(name.toString('latin1'));
      // rsync itself brings once more what did not arrive whole.
      if (wrong.size > 0) wrong.delete(path);
    } else wrong.set(path, { path, why });
  });
  const bring = (part: AskedPull, further: Pick<PullWatch, 'doneBytes' | 'early'> = {}) => {
    // As late as can be: others may own a directory on the way.
    checkWay(target);
    return pullThrough({ ...part, digests: options.verify }, session, log, {
      label: 'restoring',
      ...further,
      ...(expectedBytes === undefined ? {} : { expectedBytes }),
      item: (item) => {
        if (item.content) log.info(`/${escapeName(item.name)}`);
        return written.take(item);
      },
      ended: (isCut) => {
        isCutOnce ||= isCut;
        return written.finish(isCut);
      },
    });
  };

  const failed = new Map<string, Failed>();
  const pulled: PullReport[] = [];
  const noted = async (report: Promise<PullReport>): Promise<PullReport> => {
    const done = await report;
    pulled.push(done);
    for (const failure of done.failed) failed.set(failure.path, failure);
    return done;
  };
  const most = await noted(bring({ ...pull, files: 'most' }, early === undefined ? {} : { early }));
  let counted: Counted | undefined;
  if (list === undefined) {
    await bringWithoutList(pull, { bring, noted, failed, verify: options.verify }, session, log);
  } else {
    const tree = safe?.tree ?? (await list.whole());
    if (tree.labels > 0 && givesRights)
      log.warn(`labels of SELinux come back to files of root only: run restorecon on ${escapeName(target.directory)}`);
    counted = await bringTheRest(tree, most.bytes);
  }
  for (const [path, failure] of wrong) if (!failed.has(path)) failed.set(path, failure);
  const unnamed = pulled.at(-1);
  if (failed.size === 0 && unnamed?.isPartial === true) failed.set('/', { path: '/', why: unnamed.cause });
  // What is lacking may come when the same command is given again.
  const isWhole = counted === undefined || !counted.lacking.some(({ again }) => again);
  const settle = async () => (isWhole ? await mark.clear() : undefined);
  const { files, bytes } = options.verify && most.digests ? written : sumOf(pulled);
  return { files, bytes, all: counted, failed: [...failed.values()], leftOut: safe?.leftOut, settle };

  /** What is large, and then whatever is lacking still. */
  async function bringTheRest(tree: TreeList, doneBytes: number): Promise<Counted> {
    if (tree.large.length > 0) {
      const listFile = await writeNames(`${pull.listFile}-large`, tree.large);
      await noted(bring({ ...pull, listFile, everything: false, files: 'withHoles' }, { doneBytes }));
    }
    await settleDirectories();
    await bringRights(tree);
    const sweep = { directory: target.directory, begunMs: begun?.begunMs ?? begunMs, uid: process.getuid?.() ?? 0 };
    for (let round = 0; ; round += 1) {
      if (isCutOnce) {
        await sweepLeftovers(tree, sweep, log);
        await settleDirectories();
      }
      const now = await look(tree);
      const lacking = now.lacking.filter(({ again }) => again);
      if (lacking.length === 0 || round === mostRounds) {
        for (const { name, why } of now.lacking) {
          const path = `/${escapeName(Buffer.from(name, 'latin1'))}`;
          // rsync's own reason says more.
          if (!failed.has(path)) failed.set(path, { path, why });
        }
        return now;
      }
      log.info(`bringing once more what is not yet as it was: ${lacking.length}`);
      for (const { name } of lacking) failed.delete(`/${escapeName(Buffer.from(name, 'latin1'))}`);
      const names = lacking.map(({ name }) => name).filter((name) => name !== '');
      if (names.length > 0) {
        const listFile = await writeNames(`${pull.listFile}-again`, names);
        const mode = againMode(round);
        await noted(
          bring({ ...pull, mode, listFile, everything: false, namesOnly: true, again: true, files: 'withHoles' }),
        );
      }
      await settleDirectories(true);
      await bringRights(tree);
    }
  }

  /** What gives rights comes last, and only to what no user can have given them: see `rights.ts`. */
  async function bringRights(tree: TreeList): Promise<void> {
    const keepParents = pull.mode.kind === 'over' && pull.mode.keepParents;
    const names = tree.withRights
      .filter(({ name, onTheWay }) => name !== '' && !(onTheWay && keepParents))
      .map(({ name }) => name);
    if (!givesRights || names.length === 0) return;
    const listFile = await writeNames(`${pull.listFile}-rights`, names);
    await noted(bring({ ...pull, listFile, everything: false, namesOnly: true, rights: true, files: 'withHoles' }));
  }

  /** With --backup rsync leaves the times of directories as they come; and what comes late spoils them in any case. */
  async function settleDirectories(always = isCutOnce): Promise<void> {
    if (pull.mode.kind !== 'over' && !always) return;
    const keepParents = pull.mode.kind === 'over' && pull.mode.keepParents;
    await noted(pullThrough({ ...pull, mode: { kind: 'directories', keepParents } }, session, log, {}));
  }

  /** What was replaced once must not be kept under the name under which what it replaced was. */
  function againMode(round: number): AskedPull['mode'] {
    if (pull.mode.kind !== 'over' || pull.mode.suffix === undefined) return pull.mode;
    const later = new Date(Math.max(clock.now().getTime(), begunMs) + (round + 1) * 1000);
    return { ...pull.mode, suffix: `.before-${snapshotNameAt(later)}` };
  }

  async function look(tree: TreeList): Promise<Counted> {
    const comparesAll = pull.mode.kind === 'over' && pull.mode.checksum;
    const found = await countWhatCame(tree, {
      directory: target.directory,
      rights: isRoot,
      attributesOfRoot: givesRights,
      directoryTimes: kind === 'fresh',
      keepsParents: pull.mode.kind === 'over' && pull.mode.keepParents,
      keepsTop: target.directory === '/',
      proven,
      // rsync itself has compared, by content, what it left as it was.
      isSettled: (stat) => !options.verify || (comparesAll && Number(stat.ctimeMs) < begunMs - 1000),
    });
    if (found.unread.length === 0) return found;
    log.step(`comparing ${found.unread.length} with the snapshot, by checksums`);
    const differing = await compareContent(found.unread, target, `${pull.listFile}-digests`, session, (name) =>
      proven.add(name),
    );
    return { ...found, unread: [], lacking: [...found.lacking, ...differing] };
  }
}

function sumOf(pulled: readonly PullReport[]): { files: number; bytes: number } {
  return pulled.reduce((sum, { files, bytes }) => ({ files: sum.files + files, bytes: sum.bytes + bytes }), {
    files: 0,
    bytes: 0,
  });
}

/** @param names latin1 */
async function writeNames(file: string, names: readonly string[]): Promise<string> {
  await writeFile(file, Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1'), { mode: 0o600 });
  return file;
}
