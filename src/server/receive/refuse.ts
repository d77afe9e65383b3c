import { BytebackError, exitCodes, reasonOf } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { refusalFixPrefix, refusalKindPrefix, transferRefusedExitCode } from '../../protocol/messages.ts';
import { logSecurityEvent } from '../../system/system-log.ts';
import { failureOf } from '../helper-request.ts';
import { Refusal } from '../refusal.ts';
import { askRoot } from './root-helper.ts';

/** Who was refused, as far as it is known, for the event. */
export interface Refused {
  client?: string;
  /** That was named, whether it is open or not. */
  run?: string;
  /** sshd's own words: address and port of both sides. */
  readonly connection: string | undefined;
}

/** How an answer gets to whoever asked. */
export interface Answer {
  readonly writeOut: (text: string) => void;
  readonly writeError: (line: string) => void;
  /** Standard output is rsync's or a list's: a reason there would be taken for data. */
  readonly moves: boolean;
}

/** Answers with a failure, then has a refusal recorded as an event. Gives the exit code; never throws. */
export async function refuse(error: unknown, { writeOut, writeError, moves }: Answer, who: Refused): Promise<number> {
  const failure = failureOf(error);
  writeError(`byteback: ${failure.what}${failure.why === undefined ? '' : `: ${failure.why}`}`);
  if (!moves) writeOut(`${JSON.stringify(failure)}\n`);
  else if (!(error instanceof Refusal)) {
    writeError(`${refusalKindPrefix}${exitOf(error)}`);
    if (failure.fix !== undefined) writeError(`${refusalFixPrefix}${failure.fix.replaceAll('\n', ' ')}`);
  }
  if (error instanceof Refusal) await tellAdmin(error, error.check, who);
  return moves ? transferRefusedExitCode : exitCodes[failure.exit];
}

/** Not `refused`, which is what an older client makes of it anyway. */
function exitOf(error: unknown): string {
  if (!(error instanceof BytebackError)) return 'bug';
  return error.exit === 'interrupted' ? 'unreachable' : error.exit;
}

async function tellAdmin(
  { explanation }: BytebackError,
  check: string,
  { client, run, connection }: Refused,
): Promise<void> {
  const address = connection?.split(' ')[0] ?? '';
  const { what, why } = explanation;
  try {
    await askRoot('snapshot', {
      verb: 'refusal',
      ...(client === undefined ? {} : { client }),
      ...(run === undefined ? {} : { run }),
      ...(/^[0-9a-fA-F.:]{2,45}$/.test(address) ? { address } : {}),
      check,
      what: escapeName(what).slice(0, 500),
      ...(why === undefined ? {} : { why: escapeName(why).slice(0, 500) }),
    });
  } catch (error) {
    // It is refused all the same; the system's log takes what root's helper did not.
    const about = [client, run].filter((word) => word !== undefined).join(' ');
    await logSecurityEvent(`refusal: ${about} ${escapeName(what)}; not recorded: ${escapeName(reasonOf(error))}`);
  }
}
