import type { Config, Interfaces } from '@oclif/core';
import * as Args from '@oclif/core/args';
import { Command } from '@oclif/core/command';
import * as Flags from '@oclif/core/flags';
import { durationForm, parseDuration, parseSize, sizeForm } from '../config/units.ts';
import { BytebackError, type ExitName } from '../errors.ts';
import { isJournal } from '../output/journal.ts';
import { createLogger, type TerminalLog } from '../output/logger.ts';
import { printable } from '../output/printable.ts';
import { durationInWords } from '../output/units.ts';
import { type Clock, systemClock } from '../system/clock.ts';
import type { Log } from '../system/log.ts';
import { hearOfPrograms } from '../system/program-events.ts';
import { askYesOrNo } from './confirm.ts';
import { askSecret } from './secret.ts';

export { Args, Flags };

/** What a use case gets from the command line: none of it is global, so that tests give it something else. */
export interface Deps {
  readonly log: Log;
  readonly clock: Clock;
  /** Asks on the terminal; without one it refuses (exit 2) and says that --yes is needed. */
  readonly confirm: (question: string) => Promise<boolean>;
  /** Asks for a secret without showing it; without a terminal it is the first line of standard input. */
  readonly askSecret: (question: string) => Promise<string>;
  /** Fires at SIGINT and SIGTERM; the command then ends with 130 whatever is thrown. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** How a command was started: `byteback-backup` and `byteback backup` are the same one. */
export interface Invocation {
  /** As it was typed: named in messages and in help. */
  readonly program: string;
  readonly signal: AbortSignal;
}

/** A flag with a duration such as 10m; milliseconds. */
export const durationMs = Flags.custom<number>({
  helpValue: 'DURATION',
  parse: async (text, _context, flag) => {
    const value = parseDuration(text);
    if (value === undefined) throw badValue(flag.name, text, durationForm);
    return value;
  },
});

/** A flag with a size such as 4G; bytes. */
export const sizeBytes = Flags.custom<number>({
  helpValue: 'SIZE',
  parse: async (text, _context, flag) => {
    const value = parseSize(text);
    if (value === undefined) throw badValue(flag.name, text, sizeForm);
    return value;
  },
});

/** A flag that may be given several times, each time with one value. (oclif's own `multiple` takes all words that follow.) */
export function repeated(options: { description: string; helpValue: string; char?: 'x' | 's' }) {
  return Flags.string({ ...options, multiple: true, multipleNonGreedy: true });
}

function badValue(flag: string, text: string, form: string): BytebackError {
  return new BytebackError('usage', {
    what: `--${flag} ${JSON.stringify(text)} is not allowed`,
    why: `it must be ${form}`,
  });
}

/**
 * What every command shares. A command parses its flags, calls one use case with `this.deps`, and returns the object
 * that --json prints; what a person reads goes through `print`, which says nothing under --json.
 *
 * In help texts `<%= me %>` stands for the command as it was typed, in one form or the other.
 */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    verbose: Flags.boolean({ char: 'v', description: 'say what is done, and why', helpGroup: 'general' }),
    debug: Flags.boolean({ description: 'also show every program that is run', helpGroup: 'general' }),
  };
  /** Set-up commands show their steps without being asked. */
  static alwaysShowSteps = false;
  /** What the usage line says of the words that follow the options, for a command that takes any number: "[PATH]...". */
  static operands = '';

  readonly #log: TerminalLog;
  readonly #invocation: Invocation;
  #exit: ExitName = 'ok';
  #stopShowing: (() => void) | undefined;

  constructor(argv: string[], config: Config, invocation: Invocation) {
    super(argv, config);
    this.#invocation = invocation;
    const type = this.constructor as typeof BaseCommand;
    this.#log = createLogger({
      program: invocation.program,
      steps: type.alwaysShowSteps,
      journal: isJournal(process.stderr.fd),
    });
  }

  /** What use cases are given. */
  protected get deps(): Deps {
    return {
      log: this.#log,
      clock: systemClock,
      confirm: (question) => askYesOrNo(question, this.#invocation.signal, this.#log),
      askSecret: (question) => askSecret(question, this.#invocation.signal),
      signal: this.#invocation.signal,
      env: process.env,
    };
  }

  /** Prints a result for a person: on standard output, a line end added where it is missing; nothing under --json. */
  protected print(text: string): void {
    if (this.jsonEnabled() || text === '') return;
    const safe = printable(text);
    process.stdout.write(safe.endsWith('\n') ? safe : `${safe}\n`);
  }

  /** The code to end with when nothing is thrown: `partial` for work that is done but not whole. */
  protected endWith(exit: ExitName): void {
    this.#exit = exit;
  }

  /** Runs the command to its end. Only for main: what is thrown is reported there. */
  async execute(): Promise<ExitName> {
    try {
      await this._run();
      return this.#exit;
    } finally {
      this.#stopShowing?.();
      this.#log.close();
    }
  }

  override jsonEnabled(): boolean {
    return wantsJson(this.constructor as typeof BaseCommand, this.argv);
  }

  protected override async parse<
    F extends Interfaces.OutputFlags<Interfaces.FlagInput>,
    B extends Interfaces.OutputFlags<Interfaces.FlagInput>,
    A extends Interfaces.OutputArgs<Interfaces.ArgInput>,
  >(options?: Interfaces.Input<F, B, A>, argv?: string[]): Promise<Interfaces.ParserOutput<F, B, A>> {
    // oclif would take a missing argument from standard input, which under cron or in a pipe belongs to somebody else.
    for (const arg of Object.values(options?.args ?? {})) arg.ignoreStdin = true;
    const parsed = await super.parse<F, B, A>(options, argv);
    // oclif's types say that a switch is true or false; one that is not given is undefined.
    const flags = parsed.flags as Record<string, unknown>;
    for (const [name, flag] of Object.entries({ ...options?.baseFlags, ...options?.flags })) {
      if (flag.type === 'boolean') flags[name] ??= false;
    }
    const { verbose = false, debug = false } = parsed.flags as { verbose?: boolean; debug?: boolean };
    this.#log.configure({ verbose: verbose || debug, debug });
    if (debug) this.#showPrograms();
    return parsed;
  }

  #showPrograms(): void {
    this.#stopShowing?.();
    this.#stopShowing = hearOfPrograms(({ argv, ended }) => {
      const words = argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
      if (ended === undefined) this.#log.debug(`+ ${words}`);
      else
        this.#log.debug(
          `${argv[0]} exited ${ended.exitCode ?? 'abnormally'} after ${durationInWords(ended.durationMs)}`,
        );
    });
  }

  /** oclif would print the error in its own form and set its own exit code here. */
  protected override async catch(error: Error): Promise<never> {
    throw error;
  }

  protected override logJson(json: unknown): void {
    // A command that printed its object itself, piece by piece, returns none.
    if (json === undefined) return;
    process.stdout.write(`${JSON.stringify(json, undefined, 2)}\n`);
  }
}

/** True when a command that knows --json was asked for it, even if the rest of its arguments makes no sense. */
export function wantsJson(type: { enableJsonFlag: boolean }, argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return type.enableJsonFlag && (end < 0 ? argv : argv.slice(0, end)).includes('--json');
}
