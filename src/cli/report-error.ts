import { CLIError } from '@oclif/core/errors';
import { nearest } from '../config/nearest.ts';
import { BytebackError, type ExitName, type Explanation, exitCodes, reasonOf } from '../errors.ts';
import { errorForm } from '../output/error-form.ts';
import { isJournal, journalLines } from '../output/journal.ts';
import { printable } from '../output/printable.ts';
import { escapeName } from '../protocol/file-name.ts';

/** Where and how a failure is told. */
export interface ReportContext {
  /** The command as it was typed. */
  readonly program: string;
  /** One JSON object on standard output instead of words on standard error. */
  readonly json: boolean;
  /** The stack of a bug. */
  readonly debug: boolean;
  /** The signal that ended the command, if one did. */
  readonly interruptedBy?: NodeJS.Signals | undefined;
  /** Flags of the command, for "did you mean". */
  readonly flags: readonly string[];
}

/** Tells the person (or the script) of whatever was thrown, and returns what to end with. */
export function reportError(error: unknown, context: ReportContext): ExitName {
  const failure = explain(error, context);
  if (context.json) {
    const { exit, explanation } = failure;
    process.stdout.write(
      `${JSON.stringify({ ok: false, exit, exitCode: exitCodes[exit], ...explanation }, undefined, 2)}\n`,
    );
  } else {
    complain(errorForm(context.program, failure.explanation));
  }
  if (context.debug && error instanceof Error && error.stack !== undefined) complain(`${printable(error.stack)}\n`);
  return failure.exit;
}

function complain(text: string): void {
  process.stderr.write(isJournal(process.stderr.fd) ? journalLines('error', text) : text);
}

/** Anything that was thrown, as what a person needs to know. */
function explain(error: unknown, context: ReportContext): { exit: ExitName; explanation: Explanation } {
  if (context.interruptedBy !== undefined) {
    // How far it had come, and what to do, is known to what was interrupted.
    const { why, fix } = error instanceof BytebackError && error.exit === 'interrupted' ? error.explanation : {};
    return {
      exit: 'interrupted',
      explanation: {
        what: 'interrupted',
        why: `by ${context.interruptedBy}${why === undefined ? '' : `; ${why}`}`,
        fix: fix ?? `run it again: ${context.program}`,
      },
    };
  }
  // exit `bug` stands for programs that failed in a way nobody foresaw: they explain themselves, too.
  if (error instanceof BytebackError) {
    const { fix, ...rest } = error.explanation;
    const help = error.exit === 'usage' && fix === undefined ? `${context.program} --help` : undefined;
    return { exit: error.exit, explanation: { ...rest, ...((fix ?? help) ? { fix: (fix ?? help) as string } : {}) } };
  }
  const refusal = explainSystemError(error);
  if (refusal !== undefined) return { exit: 'usage', explanation: refusal };
  if (error instanceof CLIError) return { exit: 'usage', explanation: explainUsage(error, context) };
  return {
    exit: 'bug',
    explanation: {
      what: 'sorry, this is a bug in byteback',
      why: reasonOf(error),
      fix: context.debug
        ? 'please report it, with the lines below'
        : 'please report it; run it again with --debug to see where it happened',
    },
  };
}

/** What the kernel refuses because of this machine's state, which is no bug of ours. */
const systemErrors: Readonly<Record<string, readonly [why: string, fix: string]>> = {
  EACCES: ['permission denied', 'run it as root'],
  EPERM: ['the operation is not permitted', 'run it as root'],
  ENOSPC: ['no space is left on the device', 'free some space there'],
  EDQUOT: ['the disk quota is used up', 'free some space there'],
  EROFS: ['the file system is mounted read-only', 'look why: dmesg; then mount it for writing'],
  EIO: ['the disk could not be read or written: input/output error', 'look at the kernel log: dmesg'],
};

function explainSystemError(error: unknown): Explanation | undefined {
  const { code = '', path, syscall } = (error instanceof Error ? error : {}) as NodeJS.ErrnoException;
  const known = Object.hasOwn(systemErrors, code) ? systemErrors[code] : undefined;
  // Without a path nobody knows what to look at: then the stack is needed.
  if (known === undefined || path === undefined) return undefined;
  const [why, fix] = known;
  return { what: `cannot ${syscall ?? 'use'} ${escapeName(path)}`, why, fix };
}

/** What is wrong on the command line, in our form: oclif's own errors are several lines of its own. */
function explainUsage(error: Error, { program, flags }: ReportContext): Explanation {
  const help = `${program} --help`;
  const parts = error as { flags?: readonly string[]; args?: readonly (string | { name: string })[] };
  if (parts.flags !== undefined) {
    const [unknown = ''] = parts.flags;
    const guess = nearest(unknown.replace(/^-+/, '').replace(/=.*/s, ''), flags);
    return {
      what: `unknown option ${unknown}`,
      ...(guess === undefined ? {} : { why: `did you mean --${guess}?` }),
      fix: help,
    };
  }
  const names = (parts.args ?? []).map((arg) => (typeof arg === 'string' ? arg : arg.name.toUpperCase()));
  if (error.message.startsWith('Unexpected argument'))
    return { what: `unexpected argument: ${names.join(' ')}`, fix: help };
  if (error.message.startsWith('Missing') && names.length > 0)
    return { what: `missing: ${names.join(' ')}`, fix: help };
  return { ...inOurWords(error.message), fix: help };
}

/** How oclif words the mistakes that are left, and how we do; `$1` and `$2` are what the pattern found. */
const wordings: readonly [pattern: RegExp, what: string, why?: string][] = [
  [
    /Parsing --(\S+) \n\tExpected an integer (.*?) but received: (.*)/,
    '--$1 $3 is not allowed',
    'it must be a whole number $2',
  ],
  [/Parsing --(\S+) \n\tExpected an integer but received: (.*)/, '--$1 $2 is not allowed', 'it must be a whole number'],
  [/Parsing --(\S+) \n\t(.*)/, '--$1 is not allowed as it stands', '$2'],
  [/Missing required flag (\S+)/, 'missing: --$1'],
  [/--([^\s=]+)(?:=.*?)? cannot also be provided when using --(\S+)/, '--$1 and --$2 cannot be given together'],
  [/All of the following must be provided when using --(\S+): (.*)/, '--$1 needs $2, too'],
  [/Flag --(\S+) expects (?:a value|one of these values: (.*))/, '--$1 needs a value', '$2'],
  [/Expected --([^\s=]+)=(.*) to be one of: (.*)/s, '--$1 $2 is not allowed', 'it must be one of: $3'],
  [/Expected (.*) to be one of: (.*)/, '$1 is not allowed', 'it must be one of: $2'],
];

function inOurWords(message: string): { what: string; why?: string } {
  const plain = message.replaceAll(/\u001b\[\d*m/g, '').replace(/\nSee more help with --help/g, '');
  for (const [pattern, what, why = ''] of wordings) {
    const found = pattern.exec(plain);
    if (found === null) continue;
    const fill = (text: string) => text.replaceAll(/\$(\d)/g, (_, digit) => found[Number(digit)]?.trim() ?? '');
    return fill(why) === '' ? { what: fill(what) } : { what: fill(what), why: fill(why) };
  }
  const [first = 'bad usage', ...rest] = plain.replace(/^The following errors? occurred:\s*/, '').split('\n');
  return rest.length === 0 ? { what: first } : { what: first, why: rest.join('\n') };
}
