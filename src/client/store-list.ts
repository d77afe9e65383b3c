import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { transferRefusedExitCode } from '../protocol/messages.ts';
import { parseStored, type Stored } from '../protocol/stored.ts';
import { openPipe } from '../system/fifo.ts';
import { start } from '../system/run.ts';
import { type SshConnection, SshError } from '../system/ssh.ts';
import { refusalIn, ServerFailure } from './remote.ts';
import { writeList } from './send-changes.ts';
import type { TransferContext } from './transfer.ts';

/** Memory of sort; beyond it works in files. */
const sortMemory = '64M';

/**
 * What the store has at some paths, by absolute path.
 * @param names relative to the root as rsync's lists have them; a slash at the end adds what lies directly in it
 * @returns undefined when the server cannot tell
 */
export async function listNamed(
  context: TransferContext,
  names: readonly string[],
  workDirectory: string,
): Promise<ReadonlyMap<string, Stored> | undefined> {
  const listFile = await writeList(join(workDirectory, 'names-to-list'), names);
  return await context.session.persist('later', async (connection) => {
    const program = start(connection.argvOf(`list ${context.run} named`), {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
      signal: context.session.signal,
    });
    const { stdin, stdout, stderr } = program;
    // When it ends early the pipe breaks; why it ended is told below.
    stdin?.on('error', () => undefined);
    if (stdin !== null) createReadStream(listFile).pipe(stdin);
    const [told, said, { exitCode }] = await Promise.all([textOf(stdout), textOf(stderr), program.ended]);
    if (!isWhole(context, connection, exitCode, said)) return undefined;
    const entries = told.split('\0').map(parseStored);
    return new Map(entries.flatMap((entry) => (entry === undefined ? [] : [[entry.path, entry]])));
  });
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
