import { readFile } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import type { Log } from '../../system/log.ts';
import { rsyncExitMeanings } from '../../system/rsync.ts';
import { type Pull, type PullRequest, type PullResult, runPull } from '../../system/rsync-pull.ts';
import type { PullItem } from '../../system/rsync-pull-told.ts';
import { type AttemptResult, decideNext, firstAttempt } from '../attempts.ts';
import { attemptResultOf, type Session, whyOf } from '../session.ts';

/** A file that could not be restored as it was. */
export interface Failed {
  /** Escaped. */
  readonly path: string;
  readonly why: string;
}

export interface PullReport {
  readonly files: number;
  readonly bytes: number;
  readonly failed: readonly Failed[];
  /** rsync said in the end that something was left undone, named or not. */
  readonly isPartial: boolean;
  /** Why, in rsync's words. */
  readonly cause: string;
  /** Whether the items had the digests that were asked for: not every rsync can. */
  readonly digests: boolean;
}

/** What is shown and told on the way. */
export interface PullWatch {
  readonly label?: string;
  readonly expectedBytes?: number;
  /** What an earlier pull of the same restore has brought. */
  readonly doneBytes?: number;
  item?(item: PullItem): Promise<void> | void;
  /** After each attempt. @param isCut when another one follows. */
  ended?(isCut: boolean): Promise<void>;
  /** The first attempt, where it was started ahead. */
  readonly early?: EarlyPull;
}

/** What is known of a pull before there is a connection. */
export type AskedPull = Omit<Pull, 'sessionArgv'>;

/** The first attempt of a pull, started before it was known what it is to bring; see `early-pull.ts`. */
export interface EarlyPull {
  goOn(request: PullRequest): Promise<PullResult>;
}

/**
 * One pull to its end: when the connection is lost it is tried again and goes on where it was.
 * @throws BytebackError when it cannot be done: refused, no space here, the connection lost for good.
 */
export async function pullThrough(pull: AskedPull, session: Session, log: Log, watch: PullWatch): Promise<PullReport> {
  let files = 0;
  let bytes = 0;
  let digests = pull.digests ?? false;
  let { early } = watch;
  for (let state = firstAttempt; ; ) {
    let result: AttemptResult;
    let error: unknown;
    let failed: Failed[] = [];
    let unreadable = false;
    try {
      const connection = await session.connect();
      const asked = { ...pull, digests };
      const watcher = watcherOf(watch, log);
      const first = early;
      early = undefined;
      const ended =
        first === undefined
          ? await runPull({ ...asked, sessionArgv: connection.sessionArgv }, { watcher, signal: session.signal })
          : await first.goOn({ list: await readFile(pull.listFile), watcher });
      session.signal.throwIfAborted();
      if (ended.lacksDigests && digests) {
        digests = false;
        continue;
      }
      files += ended.files;
      bytes += ended.bytes;
      failed = failuresOf(ended, pull.directory);
      unreadable = ended.errors.unreadable;
      result = {
        kind: 'rsync',
        exitCode: ended.exitCode,
        moved: ended.moved,
        diskFull: ended.errors.diskFull,
        outcome: undefined,
      };
      error = explain(ended, pull);
    } catch (thrown) {
      session.signal.throwIfAborted();
      const known = attemptResultOf(thrown, 'later');
      if (known === undefined) throw thrown;
      result = known;
      error = thrown;
    } finally {
      log.progress(undefined);
    }
    const next = decideNext(result, state, session.limits);
    // What the server cannot read it cannot read the second time either; and rsync (3.5.0) has been seen to wait for ever
    // for a file with several names that it had already failed to bring.
    const isPartial = result.kind === 'rsync' && result.exitCode === 23 && unreadable && !result.diskFull;
    const isOver = next.next === 'go on' || isPartial;
    await watch.ended?.(!isOver);
    if (isOver) {
      const saysPartial = result.kind === 'rsync' && result.exitCode !== 0 && result.exitCode !== 24;
      return { files, bytes, failed, isPartial: saysPartial, cause: whyOf(error), digests };
    }
    if (next.next === 'give up') throw error;
    await session.waitFor(next.afterMs, whyOf(error), next.state);
    state = next.state;
  }
}

function watcherOf(watch: PullWatch, log: Log) {
  return {
    item: (item: PullItem) => watch.item?.(item),
    progress: ({ bytes, bytesPerSecond }: { bytes: number; bytesPerSecond: number }) => {
      const { label, expectedBytes } = watch;
      if (label === undefined) return;
      const doneBytes = bytes + (watch.doneBytes ?? 0);
      const left = expectedBytes === undefined ? undefined : Math.max(0, expectedBytes - doneBytes);
      log.progress({
        label,
        doneBytes,
        bytesPerSecond,
        ...(expectedBytes === undefined ? {} : { totalBytes: expectedBytes }),
        ...(left === undefined || bytesPerSecond === 0 ? {} : { remainingMs: (left / bytesPerSecond) * 1000 }),
      });
    },
  };
}

/** Names of the receiver are absolute or relative to the directory; those of the sender are paths in its jail. */
function failuresOf({ errors, skipped }: PullResult, directory: string): Failed[] {
  const failures = new Map<string, Failed>();
  for (const name of skipped) {
    const path = `/${escapeName(name)}`;
    failures.set(path, { path, why: 'only root can make it' });
  }
  for (const { name, why, side } of errors.complaints) {
    let path = escapeName(name);
    const prefix = side === 'receiver' ? directory.replace(/\/+$/, '') : '/data';
    if (path.startsWith(`${prefix}/`)) path = path.slice(prefix.length);
    if (!path.startsWith('/')) path = `/${path}`;
    if (!failures.has(path)) failures.set(path, { path, why: side === 'sender' ? `the server: ${why}` : why });
  }
  return [...failures.values()];
}

/** Why a pull that failed did so; not thrown when there is another attempt. */
function explain({ exitCode, errors, stderr }: PullResult, { directory, remoteCommand }: AskedPull): BytebackError {
  const said = escapeName(errors.cause);
  const meaning = rsyncExitMeanings[exitCode] ?? `rsync exited ${exitCode}`;
  if (errors.diskFull) {
    return new BytebackError('partial', {
      what: `no space left in ${escapeName(directory)}`,
      why: said,
      fix: 'make space and give the same command again: it goes on where it stopped; or restore elsewhere with --to',
    });
  }
  if (exitCode === 76) {
    const reason = stderr.split('\n').find((line) => line.trim() !== '' && !line.startsWith('rsync')) ?? meaning;
    return new BytebackError('refused', {
      what: `the server refused to ${escapeName(remoteCommand)}`,
      why: escapeName(reason.trim()),
    });
  }
  const lost = [10, 12, 30, 35, 255].includes(exitCode);
  return new BytebackError(lost ? 'unreachable' : 'partial', {
    what: lost ? 'the connection was lost in the middle of the restore' : 'the restore failed',
    why: `${meaning}${said === '' ? '' : `: ${said}`}`,
    fix: 'give the same command again: it goes on where it stopped',
  });
}
