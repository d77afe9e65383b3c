import { join } from 'node:path';
import * as v from 'valibot';
import type { ClientPaths } from '../config/paths.ts';
import { exitCodes, reasonOf } from '../errors.ts';
import { EndedReplySchema, type EndedRequest, EndedRequestSchema, PingReplySchema } from '../protocol/messages.ts';
import { writeFileAtomically } from '../system/files.ts';
import type { Log } from '../system/log.ts';
import { openSsh, SshError, type SshTarget } from '../system/ssh.ts';
import { readStateFile } from '../system/state-file.ts';
import type { LastRun } from './last-run.ts';
import { ask, ServerFailure } from './remote.ts';
import { recallServer } from './server-says.ts';

/** How runs ended that the server was not told of yet. */
const PendingSchema = v.object({ format: v.literal(1), ends: v.array(EndedRequestSchema) });

/** More are not kept: a line that is dead for long needs no list of each night. */
const mostPending = 10;
/** Nobody waits longer for it: a dead line has been waited for already. */
const sendMs = 20_000;

const fileOf = (stateDir: string) => join(stateDir, 'ends.json');

async function readPending(stateDir: string): Promise<EndedRequest[]> {
  const read = await readStateFile(fileOf(stateDir), PendingSchema, 1);
  // What is damaged is only a report; it is written anew.
  return read.kind === 'ok' ? read.value.ends : [];
}

async function writePending(stateDir: string, ends: readonly EndedRequest[]): Promise<void> {
  const kept = ends.slice(-mostPending);
  await writeFileAtomically(fileOf(stateDir), `${JSON.stringify({ format: 1, ends: kept })}\n`, { mode: 0o600 });
}

/** How a run without a snapshot ended, for the server; undefined where it knows: it was the one who refused. */
export function endOf(
  { run, exitCode, endedAt, error, hooks }: LastRun,
  { isInterrupted, phase }: { isInterrupted: boolean; phase: EndedRequest['phase'] },
): EndedRequest | undefined {
  if (exitCode === exitCodes.refused) return undefined;
  return {
    run,
    status: isInterrupted ? 'interrupted' : 'failed',
    exit: exitCode,
    phase,
    endedAt,
    ...(error === null ? {} : { what: error.what.slice(0, 1000) }),
    ...(error?.why === undefined ? {} : { why: error.why.slice(0, 1000) }),
    hooks: hooks.slice(0, 20),
  };
}

/**
 * Tells the server how a run ended, and how those before it did that it was not told of: in a session of its own. When the line is
 * dead it is kept and told after the next run. A server that does not take this is not asked. Never throws: it is about a
 * run that has ended already.
 * @param end undefined when there is nothing new to tell.
 */
export async function tellEnd(
  end: EndedRequest | undefined,
  { paths, target, log }: { paths: ClientPaths; target: SshTarget; log: Log },
): Promise<void> {
  try {
    // On a full disk it is sent all the same.
    const before = await readPending(paths.stateDir).catch(() => []);
    const ends = [...before, ...(end === undefined ? [] : [end])].slice(-mostPending);
    if (ends.length === 0) return;
    if (end !== undefined)
      await writePending(paths.stateDir, ends).catch((error: unknown) => log.debug(reasonOf(error)));
    const { takesEnds } = await recallServer(paths.stateDir);
    if (takesEnds === false) return;
    // Written after each: told twice in a row it is known on the server, told again later it would be news.
    const onTold = (left: readonly EndedRequest[]) => writePending(paths.stateDir, left);
    await send(ends, { target, log, isKnown: takesEnds === true, onTold });
  } catch (error) {
    log.debug(`the server is not told how the run ended: ${reasonOf(error)}`);
  }
}

interface Sending {
  readonly target: SshTarget;
  readonly log: Log;
  /** The server said that it takes ends. */
  readonly isKnown: boolean;
  /** Told which are left each time that the server has taken one. */
  readonly onTold: (left: readonly EndedRequest[]) => Promise<void>;
}

async function send(ends: readonly EndedRequest[], { target, log, isKnown, onTold }: Sending): Promise<void> {
  const signal = AbortSignal.timeout(sendMs);
  const left = [...ends];
  try {
    const connection = await openSsh(target, { signal });
    try {
      // A server of before would record a word that it does not know as a refusal.
      if (!isKnown && !(await ask(connection, 'ping', undefined, PingReplySchema, { signal })).takesEnds) return;
      for (const end of ends) {
        // Measured by one clock: the server's may be another time.
        const ageMs = Math.max(0, Date.now() - Date.parse(end.endedAt));
        await ask(connection, 'ended', { ...end, ageMs }, EndedReplySchema, { signal }).catch((error: unknown) => {
          // What it does not take now it will not take later.
          if (!(error instanceof ServerFailure)) throw error;
        });
        left.shift();
        await onTold(left);
      }
    } finally {
      await connection.close();
    }
  } catch (error) {
    if (!(error instanceof SshError) && !signal.aborted) throw error;
    log.debug(`the server hears later how the run ended: ${reasonOf(error)}`);
  }
}
