import { writeFile } from 'node:fs/promises';
import { escapeName } from '../../protocol/file-name.ts';
import type { Session } from '../session.ts';
import { differenceInWords, differsOnlyInXattrs } from './differences.ts';
import { type AskedPull, type EarlyPull, type Failed, type PullReport, type PullWatch, pullThrough } from './pull.ts';
import { makeTarget, markOf, type Target } from './target.ts';
import type { RestoreDeps } from './versions.ts';
import { writtenFiles } from './written.ts';

/** One target, looked at and agreed on. */
export interface Work {
  readonly target: Target;
  readonly pull: AskedPull;
  /** This very restore was begun before, and cut. */
  readonly begun: boolean;
  /** The pull, where it has started already. */
  readonly early?: EarlyPull;
}

/** Brings the files of one target, and compares. */
export async function carryOut(
  { target, pull, begun, early }: Work,
  options: { readonly verify: boolean },
  session: Session,
  { log, paths }: RestoreDeps,
  expectedBytes: number | undefined,
): Promise<{ files: number; bytes: number; failed: Failed[] }> {
  log.step(`restoring from ${target.snapshot} to ${escapeName(target.directory)}`);
  await makeTarget(target.directory);
  const mark = markOf(target, paths.stateDir);
  // What this pull brings is read again while it goes on, and compared with the checksum that the server sent with it.
  // What an earlier one brought, what only looks the same, and what came without checksums is compared by a second pass.
  const isAllNew = pull.mode.kind === 'over' ? pull.mode.checksum : !begun;
  const wrong = new Map<string, Failed>();
  const written = await writtenFiles(pull.directory, (name, why) => {
    if (why === undefined && wrong.size === 0) return;
    const path = `/${escapeName(name)}`;
    // rsync itself brings once more what did not arrive whole.
    if (why === undefined) wrong.delete(path);
    else wrong.set(path, { path, why });
  });
  if (pull.mode.kind === 'fresh') await mark.set();
  const bring = (part: AskedPull, further: Pick<PullWatch, 'doneBytes' | 'early'>) =>
    pullThrough({ ...part, digests: options.verify && isAllNew }, session, log, {
      label: 'restoring',
      ...further,
      ...(expectedBytes === undefined ? {} : { expectedBytes }),
      item: (item) => {
        if (item.content) log.info(`/${escapeName(item.name)}`);
        return written.take(item);
      },
      ended: (isCut) => written.finish(isCut),
    });
  const result = await bringAll(pull, bring, early);
  const failed = new Map(result.failed.map((failure) => [failure.path, failure]));
  for (const [path, failure] of wrong) if (!failed.has(path)) failed.set(path, failure);
  if (pull.mode.kind === 'over') {
    // With --backup rsync leaves the times of directories as they come; and what comes late spoils them in any case.
    const { keepParents } = pull.mode;
    const ended = await pullThrough({ ...pull, mode: { kind: 'directories', keepParents } }, session, log, {});
    for (const failure of ended.failed) if (!failed.has(failure.path)) failed.set(failure.path, failure);
  }
  if (options.verify && !result.digests) {
    log.step('comparing with the snapshot, by checksums');
    const keepParents = pull.mode.kind === 'over' && pull.mode.keepParents;
    const compared = await pullThrough({ ...pull, mode: { kind: 'compare', keepParents } }, session, log, {
      label: 'comparing',
      item: ({ flags, name }) => {
        if (differsOnlyInXattrs(flags)) return;
        const path = `/${escapeName(name)}`;
        if (!failed.has(path)) failed.set(path, { path, why: differenceInWords(flags) });
      },
    });
    for (const failure of compared.failed) if (!failed.has(failure.path)) failed.set(failure.path, failure);
  }
  // Only now: what is cut in the comparison goes on, too.
  await mark.clear();
  const { files, bytes } = result.digests ? written : result;
  return { files, bytes, failed: [...failed.values()] };
}

/** One pull; and another one for the large files that the first one left out, which come with their holes. */
async function bringAll(
  pull: AskedPull,
  bring: (part: AskedPull, further: Pick<PullWatch, 'doneBytes' | 'early'>) => Promise<PullReport>,
  early: EarlyPull | undefined,
): Promise<Omit<PullReport, 'large'>> {
  const most = await bring({ ...pull, files: 'most' }, early === undefined ? {} : { early });
  if (most.large.length === 0) return most;
  const listFile = `${pull.listFile}-large`;
  await writeFile(listFile, Buffer.concat(most.large.flatMap((name) => [name, Buffer.from([0])])), { mode: 0o600 });
  const large = await bring({ ...pull, listFile, everything: false, files: 'withHoles' }, { doneBytes: most.bytes });
  return {
    files: most.files + large.files,
    bytes: most.bytes + large.bytes,
    failed: [...most.failed, ...large.failed],
    digests: most.digests && large.digests,
  };
}
