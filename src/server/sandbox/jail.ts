import { BytebackError } from '../../errors.ts';
import { jailDirectory } from '../../protocol/rsync-options.ts';
import { bwrapArgv } from '../../system/bwrap.ts';
import { type RunningProgram, type StreamOf, start } from '../../system/run.ts';
import { limitedArgv } from './limits.ts';
import { seccompFilter } from './seccomp.ts';

/** One program in the jail. */
export interface JailedProgram {
  /** The only directory of the machine, besides /usr, that it sees. */
  readonly directory: string;
  readonly access: 'read' | 'write';
  readonly argv: readonly [string, ...string[]];
  readonly stdin: StreamOf;
  readonly stdout: StreamOf;
  readonly stderr: StreamOf;
  /** A lock that must be held for as long as the program lives: the descriptor of a regular file. */
  readonly lockFd?: number;
  readonly timeoutMs?: number;
  /** Who runs it, when root starts it: set-up and doctor, which try the jail as the user that receives. */
  readonly account?: { readonly uid: number; readonly gid: number };
  /** Root reads for itself, see JailView; only with access `read`. */
  readonly rootReads?: boolean;
}

/**
 * Starts a program in the jail. Never outside of it: where bubblewrap cannot build the jail, the program does not run,
 * and bwrap ends with a message that begins `bwrap:` (see `whyNoJail`).
 * @throws BytebackError refused when bubblewrap is missing or this machine's call numbers are not known.
 */
export async function startInJail(program: JailedProgram): Promise<RunningProgram> {
  const filter = seccompFilter(process.arch);
  const passFds = program.lockFd === undefined ? [] : [program.lockFd];
  // The descriptors after the three streams, in order: first those that are passed on, then those that are fed.
  const filterFd = 3 + passFds.length;
  const argv = await bwrapArgv(
    {
      directory: program.directory,
      access: program.rootReads === true ? 'read' : program.access,
      at: jailDirectory,
      rootReads: program.rootReads === true,
    },
    filterFd,
    limitedArgv(program.argv),
  );
  try {
    return start(argv, {
      stdin: program.stdin,
      stdout: program.stdout,
      stderr: program.stderr,
      passFds,
      feedFds: [filter],
      cwd: '/',
      ...(program.timeoutMs === undefined ? {} : { timeoutMs: program.timeoutMs }),
      ...(program.account === undefined ? {} : { account: program.account }),
    });
  } catch (error) {
    throw noJail(error instanceof BytebackError ? (error.explanation.why ?? error.message) : String(error), error);
  }
}

/** The refusal when there is no jail. */
export function noJail(why: string, cause?: unknown): BytebackError {
  return new BytebackError(
    'refused',
    {
      what: 'the sandbox cannot be started, and nothing runs without it',
      why,
      fix: 'on the server, run: byteback doctor',
    },
    cause === undefined ? undefined : { cause },
  );
}

/** The line in which bubblewrap says why it could not build the jail, or undefined. */
export function whyNoJail(stderr: string): string | undefined {
  return /^bwrap: (.{1,500})/m.exec(stderr)?.[0];
}
