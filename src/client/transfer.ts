import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BytebackError } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import {
  type Failure,
  OutcomeReplySchema,
  SeparateReplySchema,
  transferRefusedExitCode,
} from '../protocol/messages.ts';
import type { RunId } from '../protocol/names.ts';
import type { Log } from '../system/log.ts';
import {
  type RsyncConnection,
  type RsyncPass,
  type RsyncResult,
  rsyncExitMeanings,
  runRsync,
} from '../system/rsync.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import { start } from '../system/run.ts';
import { isLost, type SshConnection, SshError } from '../system/ssh.ts';
import { type AttemptResult, decideNext, firstAttempt } from './attempts.ts';
import type { Growth } from './growth.ts';
import { ask, parseReply, refusalIn, ServerFailure } from './remote.ts';
import type { SentWhole } from './resent.ts';
import { attemptResultOf, type Session, whyOf } from './session.ts';

/** A file that could not be copied. */
export interface Unread {
  /** Absolute, escaped. */
  readonly path: string;
  readonly why: string;
}

/** How passes ended. */
export interface PassesEnd {
  readonly status: 'ok' | 'partial';
  readonly unread: Unread[];
  /** Every rsync that went through to its end said 0: it left out nothing that it was given. */
  readonly isClean: boolean;
  /** An attempt was cut: what a receiver had begun to write may be there under a name for the time being. */
  readonly wasCut: boolean;
}

/** What all passes of a run moved so far. */
export interface Moved {
  sentFiles: number;
  sentBytes: number;
  deletedFiles: number;
  wireBytes: number;
  /** Where they came from. */
  readonly growth: Growth;
  /** Compressed files that went whole. */
  readonly sentWhole: SentWhole;
}

/** What a pass needs to know of its run. */
export interface TransferContext {
  readonly session: Session;
  readonly run: RunId;
  /** `user@host` as rsync wants it. */
  readonly host: string;
  readonly ioTimeoutMs: number;
  /** What rsync is told of what is left out. */
  readonly rulesFile: string;
  readonly bwlimit?: string;
  readonly extraFlags: readonly string[];
  /** Put before rsync: where it sees the tree. */
  readonly enter: readonly string[];
  /** Put before a path, it leads there. */
  readonly root: string;
  /** Told what could not be read here: absolute, as a byte string. */
  readonly onUnread?: (path: string) => void;
  /** What is listed and not found here is left as the server has it, where otherwise it is deleted there; see send-open.ts. */
  readonly keepsMissing?: boolean;
  readonly log: Log;
  readonly moved: Moved;
  /** Bytes that will be sent in all, when they are known. */
  readonly expectedBytes?: number;
  readonly onItem?: (item: RsyncItem) => void;
}

/**
 * One pass, and once more what had its rights or attributes changed: rsync (3.5.0, with --fake-super on the other side) drops
 * or spoils the stored ACL of such a file, and puts it right when it looks at it again. So it does with the ACL of whatever
 * it makes, besides files, that has an extended attribute too; on xfs everything with an ACL has one (SGI_ACL_FILE).
 * @param directory where the list for the second time is written
 */
export async function transfer(context: TransferContext, pass: RsyncPass, directory: string): Promise<PassesEnd> {
  const again = new Set<string>();
  const onItem = (item: RsyncItem) => {
    if (item.attributes) again.add(item.name.toString('latin1').replace(/\/$/, ''));
    context.onItem?.(item);
  };
  const first = await transferOnce({ ...context, onItem }, pass);
  if (again.size === 0) return first;
  const listFile = join(directory, 'attributes');
  const list = Buffer.from(
    [...again].map((name) => `${name === './' || name === '' ? '.' : name}\0`).join(''),
    'latin1',
  );
  await writeFile(listFile, list, { mode: 0o600 });
  context.log.info(`looking again at ${again.size} files and directories with new rights or attributes`);
  const second = await transferOnce(context, { kind: 'list', listFile });
  return together([first, second]);
}

/** The end of several passes; of none, a good one. */
export function together(ends: readonly PassesEnd[]): PassesEnd {
  return {
    status: ends.some(({ status }) => status === 'partial') ? 'partial' : 'ok',
    unread: ends.flatMap(({ unread }) => unread),
    isClean: ends.every(({ isClean }) => isClean),
    wasCut: ends.some(({ wasCut }) => wasCut),
  };
}

/** One pass, to its end: attempts, waits, and the server's word on what went wrong. */
async function transferOnce(context: TransferContext, asked: RsyncPass): Promise<PassesEnd> {
  const { session, log } = context;
  let pass = asked;
  let wasCut = false;
  for (let state = firstAttempt; ; ) {
    let attempt: { result: AttemptResult; error: BytebackError; unread: Unread[] };
    try {
      const connection = await session.connect();
      if (pass.kind === 'inPlace') await separate(connection, context.run, pass.listFile, session.signal);
      attempt = await attemptTransfer(context, connection, pass);
    } catch (error) {
      session.signal.throwIfAborted();
      const result = attemptResultOf(error, 'later');
      if (result === undefined || !(error instanceof BytebackError)) throw error;
      attempt = { result, error, unread: [] };
    }
    // An attempt has left something: to write into that in place could reach other names of the same file.
    if (pass.kind === 'everything') pass = { kind: 'everything' };
    const { result, error, unread } = attempt;
    if (
      pass.kind === 'inPlace' &&
      !pass.checksum &&
      result.kind === 'rsync' &&
      result.exitCode === 23 &&
      result.outcome == null &&
      !result.diskFull
    ) {
      // Files that vanished, changed their kind or cannot be read since the scan: the next pass takes them or names them.
      return { status: 'ok', unread: [], isClean: false, wasCut };
    }
    const next = decideNext(result, state, session.limits);
    if (next.next === 'go on') {
      const isClean = result.kind === 'rsync' && result.exitCode === 0;
      return { status: next.status, unread: next.status === 'partial' ? unread : [], isClean, wasCut };
    }
    if (next.next === 'give up') throw error;
    // Also where it only seems so: looking costs little.
    wasCut ||= !(result.kind === 'rsync' && [23, 24].includes(result.exitCode));
    if (next.afterMs === 0) log.info(`${unread.length} files could not be read; trying once more`);
    await session.waitFor(next.afterMs, whyOf(error), next.state);
    state = next.state;
  }
}

async function attemptTransfer(context: TransferContext, connection: SshConnection, pass: RsyncPass) {
  const { session, log, moved } = context;
  const rsync: RsyncConnection = {
    sessionArgv: connection.sessionArgv,
    host: context.host,
    remoteCommand: `transfer ${context.run}`,
    ioTimeoutMs: context.ioTimeoutMs,
    rulesFile: context.rulesFile,
    ...(context.bwlimit === undefined ? {} : { bwlimit: context.bwlimit }),
    extraFlags: context.extraFlags,
    enter: context.enter,
    keepsMissing: context.keepsMissing ?? false,
  };
  const before = moved.sentBytes;
  const result = await runRsync(rsync, pass, {
    signal: session.signal,
    watcher: {
      item: (item) => {
        if (item.kind === 'sent') {
          addGrowth(moved.growth, item, pass);
          moved.sentWhole.add(`/${item.name.toString('latin1')}`, item.sizeBytes, item.wireBytes);
        }
        context.onItem?.(item);
      },
      progress: ({ bytes, bytesPerSecond }) => {
        const doneBytes = before + bytes;
        const total = context.expectedBytes;
        log.progress({
          label: 'sending',
          doneBytes,
          bytesPerSecond,
          ...(total === undefined || total < doneBytes ? {} : { totalBytes: total }),
          ...(total === undefined || total < doneBytes || bytesPerSecond === 0
            ? {}
            : { remainingMs: ((total - doneBytes) / bytesPerSecond) * 1000 }),
        });
      },
    },
  });
  log.progress(undefined);
  session.signal.throwIfAborted();
  moved.sentFiles += result.sentFiles;
  moved.sentBytes += result.sentBytes;
  moved.deletedFiles += result.stats.deletedFiles;
  moved.wireBytes += result.wireBytes;
  log.debug(`rsync ended with ${result.exitCode}: ${result.stderr.trim().slice(-2000)}`);
  const outcome = result.exitCode === 0 || result.exitCode === 24 ? null : await askOutcome(context, result);
  for (const { name, side } of result.errors.complaints) {
    if (side === 'sender' && name[0] === 0x2f) context.onUnread?.(name.toString('latin1'));
  }
  const unread = result.errors.complaints
    .filter(({ side }) => side !== 'vanished')
    .map(({ name, why, side }) => ({ path: escapeName(absolute(name, side)), why }));
  return {
    result: {
      kind: 'rsync' as const,
      exitCode: result.exitCode,
      moved: result.moved,
      diskFull: result.errors.diskFull,
      outcome,
    },
    error: errorOf(context, result, outcome),
    unread,
  };
}

/** In place only what changed is written; everything else is written anew. */
function addGrowth(growth: Growth, { name, sizeBytes, wireBytes }: RsyncItem, pass: RsyncPass): void {
  growth.add(
    `/${name.toString('latin1')}`,
    wireBytes,
    pass.kind === 'inPlace' ? Math.min(wireBytes, sizeBytes) : sizeBytes,
  );
}

/** The absolute path, as a byte string, of what rsync names relative to the root. */
export function pathOf(name: Buffer): string {
  return `/${name.toString('latin1').replace(/^\.?\/|\/$/g, '')}`;
}

/** The receiver names files relative to its directory, and in a jail that lies at /data. */
function absolute(name: Buffer, side: string): Buffer {
  if (side !== 'receiver') return name;
  const text = name.toString('latin1').replace(/^\/data(?=\/)/, '');
  return Buffer.from(text.startsWith('/') ? text : `/${text}`, 'latin1');
}

/** What the server says of a transfer that failed: null when it has nothing to say, undefined when it cannot be asked. */
async function askOutcome(context: TransferContext, result: RsyncResult): Promise<Failure | null | undefined> {
  try {
    const connection = await context.session.connect();
    const reply = await ask(connection, 'outcome', { run: context.run }, OutcomeReplySchema, {
      signal: context.session.signal,
    });
    // What is refused before it starts is in no record.
    return reply.failure ?? (result.exitCode === transferRefusedExitCode ? (refusalIn(result.stderr) ?? null) : null);
  } catch (error) {
    context.session.signal.throwIfAborted();
    // The transfer's own failure is what counts; this was only to understand it.
    context.log.debug(`no outcome after ${result.exitCode}: ${whyOf(error)}`);
    if (error instanceof ServerFailure) return error.failure;
    if (error instanceof SshError)
      return error.kind === 'unreachable' ? undefined : { ok: false, exit: error.exit, ...error.explanation };
    return undefined;
  }
}

/** What a person can do about an end of rsync that another attempt does not change. */
const fixes: Readonly<Record<number, string>> = {
  2: 'check that rsync 3.2.3 or newer is installed on both sides: byteback doctor',
  3: 'check that the sources exist, and that the disk of this machine has room: df -h',
  11: 'check that the disk of this machine has room and can be written: df -h; dmesg',
  13: 'check that the disk of this machine has room: df -h',
  22: 'free some memory on this machine, and run byteback-backup again',
  127: 'install rsync and ssh: apt-get install rsync openssh-client',
};

/** The error that is thrown when nothing more can be done about a transfer. */
function errorOf(context: TransferContext, result: RsyncResult, outcome: Failure | null | undefined): BytebackError {
  if (outcome !== null && outcome !== undefined) return new ServerFailure(outcome);
  const meaning =
    rsyncExitMeanings[result.exitCode] ??
    (result.exitCode > 128 ? `signal ${result.exitCode - 128} ended it, here or on the server` : 'rsync failed');
  const why = `rsync exited ${result.exitCode}: ${meaning}${result.errors.cause === '' ? '' : ` (${escapeName(result.errors.cause)})`}`;
  if (result.errors.diskFull) {
    return new BytebackError('storeFull', {
      what: 'the store is full',
      why,
      fix: 'on the server, run: byteback-prune --list',
    });
  }
  const next = decideNext(
    { kind: 'rsync', exitCode: result.exitCode, moved: false, diskFull: false, outcome: null },
    { failedInRow: Number.MAX_SAFE_INTEGER, triedUnreadAgain: true },
    context.session.limits,
  );
  const exit = next.next === 'give up' ? next.exit : 'bug';
  if (exit === 'unreachable') {
    return new BytebackError(exit, {
      what: `the transfer to ${context.host} was cut off again and again`,
      why,
      fix: 'run byteback-backup again: what was sent is not sent again',
    });
  }
  return new BytebackError(exit, {
    what: 'the transfer failed',
    why,
    fix: fixes[result.exitCode] ?? 'run it again with --verbose to see more',
  });
}

/** Has the server make the listed files single, again and again as a pass is tried. */
export async function separateListed({ session, run }: TransferContext, listFile: string): Promise<void> {
  await session.persist('later', (connection) => separate(connection, run, listFile, session.signal));
}

/** Has the server make the listed files single, so that writing one in place writes into no other name. */
async function separate(connection: SshConnection, run: RunId, listFile: string, signal: AbortSignal): Promise<void> {
  const list = await open(listFile, 'r');
  try {
    const program = start(connection.argvOf(`separate ${run}`), {
      stdin: list.fd,
      stdout: 'pipe',
      stderr: 'pipe',
      signal,
    });
    const [stdout, stderr, { exitCode }] = await Promise.all([
      collect(program.stdout),
      collect(program.stderr),
      program.ended,
    ]);
    signal.throwIfAborted();
    if (isLost(exitCode))
      throw new SshError('unreachable', connection.target.host, stderr.toString('utf8'), 'check the network');
    const result = { stdout, stderr: stderr.toString('utf8'), exitCode };
    const refusal = exitCode === transferRefusedExitCode ? refusalIn(result.stderr) : undefined;
    if (refusal !== undefined) throw new ServerFailure(refusal);
    parseReply(connection.target.host, 'separate', result, SeparateReplySchema);
  } finally {
    await list.close();
  }
}

async function collect(stream: NodeJS.ReadableStream | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
