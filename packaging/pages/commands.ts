import { type CommandEntry, commands } from '../../src/cli/commands.ts';
import { flagsOf } from '../../src/cli/help.ts';

/** One option of a command, as its class says it. */
export interface Option {
  /** Without the hyphens. */
  readonly name: string;
  readonly char: string | undefined;
  /** What stands for its value: FILE; undefined for a switch. */
  readonly value: string | undefined;
  /** The only values it takes, if it does not take any. */
  readonly choices: readonly string[];
  readonly description: string;
  readonly required: boolean;
  readonly repeatable: boolean;
}

/** A word after the options. */
export interface Operand {
  readonly name: string;
  readonly description: string;
}

/** One command, read from its class: all that its man page and the completions are made from. */
export interface Command {
  /** The words after `byteback`: "client add". */
  readonly id: string;
  /** Name of the man page: "byteback-client-add". */
  readonly page: string;
  /** As it is best typed: "byteback-backup", "byteback client add". */
  readonly program: string;
  readonly executable: boolean;
  readonly side: CommandEntry['side'];
  readonly summary: string;
  readonly description: readonly string[];
  readonly options: readonly Option[];
  /** As the usage line shows them: "[PATH]...". */
  readonly usage: readonly string[];
  readonly operands: readonly Operand[];
  readonly examples: readonly { readonly description: string; readonly command: string }[];
}

/** What the classes say of a flag; oclif's own types hide half of it. */
interface Flag {
  readonly type: 'boolean' | 'option';
  readonly char?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly helpValue?: string | string[];
  readonly options?: readonly string[];
  readonly required?: boolean;
  readonly multiple?: boolean;
  readonly hidden?: boolean;
  readonly default?: unknown;
}

function optionOf(name: string, flag: Flag): Option {
  const usual = flag.type === 'option' && typeof flag.default === 'string' ? ` (default: ${flag.default})` : '';
  const value = Array.isArray(flag.helpValue) ? flag.helpValue.join(' ') : flag.helpValue;
  return {
    name,
    char: flag.char,
    value: flag.type === 'option' ? (value ?? flag.options?.join('|') ?? 'VALUE') : undefined,
    choices: flag.options ?? [],
    description: `${flag.summary ?? flag.description ?? ''}${usual}`,
    required: flag.required === true,
    repeatable: flag.multiple === true,
  };
}

async function read(entry: CommandEntry): Promise<Command> {
  const type = await entry.load();
  const executable = entry.executable === true;
  const page = `byteback-${entry.id.replaceAll(' ', '-')}`;
  const program = executable ? page : `byteback ${entry.id}`;
  const named = (text: string) => text.replaceAll('<%= me %>', program);
  const args = Object.entries(type.args)
    .filter(([, arg]) => arg.hidden !== true)
    // oclif names an argument only once the command runs.
    .map(([key, arg]) => ({ ...arg, name: arg.name ?? key }));
  return {
    id: entry.id,
    page,
    program,
    executable,
    side: entry.side,
    summary: entry.summary,
    description: named(type.description ?? '').split(/\n{2,}/),
    options: Object.entries(flagsOf(type) as unknown as Record<string, Flag>)
      .filter(([, flag]) => flag.hidden !== true)
      .map(([name, flag]) => optionOf(name, flag)),
    usage: [
      ...args.map((arg) => {
        const name = `${arg.name.toUpperCase()}${arg.multiple === true ? '...' : ''}`;
        return arg.required === true ? name : `[${name}]`;
      }),
      ...(type.operands === '' ? [] : [type.operands]),
    ],
    operands: args.map((arg) => ({ name: arg.name.toUpperCase(), description: arg.description ?? '' })),
    examples: (type.examples ?? []).map((example) => {
      if (typeof example !== 'string') return { description: example.description, command: named(example.command) };
      return { description: '', command: named(example) };
    }),
  };
}

/** Every command, in the order of the help. */
export function readCommands(): Promise<Command[]> {
  return Promise.all(commands.map(read));
}
