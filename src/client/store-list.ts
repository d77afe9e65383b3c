import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { transferRefusedExitCode } from '../protocol/messages.ts';
import { parseStored, type Stored } from '../protocol/stored.ts';
import { openPipe } from '../system/fifo.ts';
import { start } from '../system/run.ts';
import { type SshConnection, SshError } from '../system/ssh.ts';
import { refusalIn, ServerFailure } from './remote.ts';
import type { TransferContext } from './transfer.ts';

/** Memory of sort; beyond it works in files. */
const sortMemory = '64M';

/** A session that lists what it is given, started ahead: both sides load while the transfer goes on. */
export interface NamedList {
  /** Tells what the store has; undefined when it does not, for whatever reason. */
  ask(names: Buffer): Promise<string | undefined>;
  /** Ends it, when nothing is asked any more. */
  giveUp(): void;
}

/** @throws SshError when the server cannot be reached. */
export async function startNamedList(context: TransferContext): Promise<NamedList> {
  const connection = await context.session.connect();
  const program = start(connection.argvOf(`list ${context.run} named`), {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    signal: context.session.signal,
  });
  // When it ends early the pipe breaks; why it ended is told by its end.
  program.stdin?.on('error', () => undefined);
  const telling = Promise.all([textOf(program.stdout), textOf(program.stderr), program.ended]);
  // A run that is interrupted may never ask; then nobody hears that this was ended.
  telling.catch(() => undefined);
  return {
    async ask(names) {
      program.stdin?.end(names);
      const [told, said, { exitCode }] = await telling;
      return isWhole(context, connection, exitCode, said) ? told : undefined;
    },
    giveUp: () => program.kill('SIGKILL'),
  };
}

/**
 * What the store has at some paths, by absolute path.
 * @param names relative to the root as rsync's lists have them; a slash at the end adds what lies directly in it
 * @param ahead asked first; it may have waited for too long
 * @returns undefined when the server cannot tell
 */
export async function listNamed(
  context: TransferContext,
  names: readonly string[],
  ahead: NamedList | undefined,
): Promise<ReadonlyMap<string, Stored> | undefined> {
  const list = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
  const first = await ahead?.ask(list).catch(() => undefined);
  context.session.signal.throwIfAborted();
  const told = first ?? (await context.session.persist('later', async () => (await startNamedList(context)).ask(list)));
  if (told === undefined) return undefined;
  const entries = told.split('\0').map(parseStored);
  return new Map(entries.flatMap((entry) => (entry === undefined ? [] : [[entry.path, entry]])));
}

/**
 * All that the store has, as a file of sorted records (see protocol/stored.ts).
 * @returns undefined when the server cannot tell
 */
export async function listAll(context: TransferContext, workDirectory: string): Promise<string | undefined> {
  const file = join(workDirectory, 'stored');
  const fifo = join(workDirectory, 'stored-pipe');
  const { signal } = context.session;
  return await context.session.persist('later', async (connection) => {
    await rm(fifo, { force: true });
    const pipe = await openPipe(fifo);
    try {
      const sort = start(['sort', '-z', '-S', sortMemory, '-T', workDirectory, '-o', file], {
        stdin: pipe.readFd,
        stderr: 'pipe',
        signal,
      });
      const list = start(connection.argvOf(`list ${context.run} all`), {
        stdout: pipe.writeFd,
        stderr: 'pipe',
        signal,
      });
      // From here on the end of either is seen by the other.
      pipe.close();
      const [said, sortSaid, { exitCode }, sorted] = await Promise.all([
        textOf(list.stderr),
        textOf(sort.stderr),
        list.ended,
        sort.ended,
      ]);
      if (!isWhole(context, connection, exitCode, said)) return undefined;
      if (sorted.exitCode !== 0) throw new Error(`sort exited ${sorted.exitCode}: ${sortSaid.trim()}`);
      return file;
    } finally {
      pipe.close();
    }
  });
}

/** @throws SshError when the connection was lost, ServerFailure when the server refused for a reason that passes. */
function isWhole(context: TransferContext, { target }: SshConnection, exitCode: number, said: string): boolean {
  context.session.signal.throwIfAborted();
  if (exitCode === 0) return true;
  if (exitCode === 255) throw new SshError('unreachable', target.host, said, 'check the network');
  const refusal = exitCode === transferRefusedExitCode ? refusalIn(said) : undefined;
  if (refusal?.exit === 'unreachable') throw new ServerFailure(refusal);
  // A server that does not know the command, or cannot read all that it has.
  context.log.debug(`the server did not list what it has: exit ${exitCode}: ${said.trim().slice(-2000)}`);
  return false;
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  return stream === null ? '' : (await buffer(stream)).toString('latin1');
}
