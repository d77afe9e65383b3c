import { join } from 'node:path';
import type { SendPlan } from '../catalogue/changes.ts';
import type { Move } from '../catalogue/moves.ts';
import { ReplayReplySchema } from '../protocol/messages.ts';
import { writeFileAtomically } from '../system/files.ts';
import type { WalkPlan } from './change-plan.ts';
import { ask } from './remote.ts';
import { whyOf } from './session.ts';
import { type TransferContext, transfer, type Unread } from './transfer.ts';

/** How a run's passes ended, all together. */
export interface PassesEnd {
  readonly status: 'ok' | 'partial';
  readonly unread: Unread[];
}

/**
 * Has the server rename what was renamed here. It is tried once: what state an interrupted replay leaves is not known.
 * @returns undefined when all went well, otherwise why everything has to be walked.
 */
export async function replayMoves(context: TransferContext, moves: readonly Move[]): Promise<string | undefined> {
  if (moves.length === 0) return undefined;
  const { session, log } = context;
  log.step(`replaying ${moves.length} renames`);
  const list = Buffer.from(
    moves.flatMap(({ from, to }) => [`${from.slice(1)}\0`, `${to.slice(1)}\0`]).join(''),
    'latin1',
  );
  try {
    const connection = await session.connect();
    const { failed } = await ask(connection, `replay ${context.run}`, list, ReplayReplySchema, {
      signal: session.signal,
    });
    return failed === 0 ? undefined : `the server could not replay ${failed} renames`;
  } catch (error) {
    session.signal.throwIfAborted();
    return `the renames could not be replayed: ${whyOf(error)}`;
  }
}

/** Sends what changed, group by group; directories and what is gone come last, so that their times are right. */
export async function sendChanges(context: TransferContext, send: SendPlan, workDirectory: string): Promise<PassesEnd> {
  const { log } = context;
  const list = async (name: string, paths: readonly string[]) => {
    const file = join(workDirectory, name);
    await writeFileAtomically(file, listOf(paths), { mode: 0o600 });
    return file;
  };
  for (const { blockSizeBytes, checksum, paths } of send.inPlace) {
    log.step(`sending ${paths.length} large files in place`);
    const listFile = await list(`in-place-${blockSizeBytes}-${checksum}`, paths);
    await transfer(context, { kind: 'inPlace', listFile, blockSizeBytes, checksum }, workDirectory);
  }
  const ends: PassesEnd[] = [];
  if (send.checksum.length > 0) {
    log.step(`comparing ${send.checksum.length} files by checksum`);
    ends.push(
      await transfer(
        context,
        { kind: 'list', listFile: await list('checksum', send.checksum), checksum: true },
        workDirectory,
      ),
    );
  }
  log.step(`sending ${send.normal.length} other changes`);
  // What was written in place is in the last list too: whatever the pass in place could not do is done or named here.
  const rest = ['/', ...send.normal, ...send.inPlace.flatMap(({ checksum, paths }) => (checksum ? [] : paths))];
  ends.push(await transfer(context, { kind: 'list', listFile: await list('changes', rest) }, workDirectory));
  return together(ends);
}

/** The paths as rsync's --from0 --files-from has them: relative to the root, which is `.`. */
function listOf(paths: readonly string[]): Buffer {
  return Buffer.from(paths.map((path) => `${path === '/' ? '.' : path.slice(1)}\0`).join(''), 'latin1');
}

function together(ends: readonly PassesEnd[]): PassesEnd {
  return {
    status: ends.some(({ status }) => status === 'partial') ? 'partial' : 'ok',
    unread: ends.flatMap(({ unread }) => unread),
  };
}

/** Both passes of a full walk: large files in place, then everything. */
export async function walkAll(
  context: TransferContext,
  walk: WalkPlan,
  touched: readonly string[],
  workDirectory: string,
): Promise<PassesEnd> {
  const { log } = context;
  for (const { path, files, blockSizeBytes } of walk.large) {
    log.step(`sending ${files} large files in place`);
    await transfer(context, { kind: 'inPlace', listFile: path, blockSizeBytes }, workDirectory);
  }
  const ends: PassesEnd[] = [];
  if (touched.length > 0) {
    // rsync's look at size and time alone would miss a file that was rewritten and given its old time again.
    log.step(`comparing ${touched.length} files by checksum`);
    const listFile = join(workDirectory, 'touched');
    await writeFileAtomically(listFile, listOf(touched), { mode: 0o600 });
    ends.push(await transfer(context, { kind: 'list', listFile, checksum: true }, workDirectory));
  }
  log.step('sending everything else');
  ends.push(await transfer(context, { kind: 'everything' }, workDirectory));
  return together(ends);
}
