import type { Config } from '@oclif/core';
import type { Command } from '@oclif/core/command';
import * as Flags from '@oclif/core/flags';
import { CommandHelp } from '@oclif/core/help';
import { version } from '../version.ts';
import { type CommandClass, type CommandEntry, commands, topics } from './commands.ts';

const columns = 80;

const jsonFlag = Flags.boolean({ description: 'print one JSON object instead of text', helpGroup: 'general' });
const helpFlag = Flags.boolean({ char: 'h', description: 'show this', helpGroup: 'general' });

/** All flags that a command takes, in the order in which help and the man page show them. */
export function flagsOf(type: CommandClass) {
  return {
    ...type.flags,
    ...(type.enableJsonFlag ? { json: jsonFlag } : {}),
    ...type.baseFlags,
    help: helpFlag,
  };
}

/** The help of one command, in the words of the form in which it was typed. */
export function commandHelp(entry: CommandEntry, type: CommandClass, config: Config, program: string): string {
  const { id, args, description, examples } = type;
  const flags = flagsOf(type);
  const shown = { id, args, description, examples, flags } as unknown as Command.Loadable;
  const page = new HelpPage(shown, config, program, type.operands);
  return `${program}: ${entry.summary}\n\n${page.generate()}\n`;
}

/** oclif's page with our usage line, and examples that name the program as it was typed. */
class HelpPage extends CommandHelp {
  /** Stands in help texts as `<%= me %>`. */
  readonly me: string;

  readonly #operands: string;

  constructor(command: Command.Loadable, config: Config, program: string, operands: string) {
    super(command, config, { maxWidth: columns, flagSortOrder: 'none' });
    this.me = program;
    // The only thing that is filled in; a language for templates would be loaded for it.
    this.render = (text) => text.replaceAll('<%= me %>', program);
    this.#operands = operands;
  }

  /** Usage first, what it does, its options, examples: the order of a man page. */
  protected override sections() {
    const order = ['USAGE', 'DESCRIPTION', 'ARGUMENTS', 'FLAGS', 'EXAMPLES'];
    return super
      .sections()
      .filter(({ header }) => order.includes(header))
      .toSorted((a, b) => order.indexOf(a.header) - order.indexOf(b.header))
      .map((section) => (section.header === 'FLAGS' ? { ...section, header: 'OPTIONS' } : section));
  }

  /** Required flags and the arguments by name; the rest is listed below anyway. */
  protected override usage(): string {
    const flags = Object.entries(this.command.flags ?? {});
    const required = flags
      .filter(([, flag]) => flag.required && !flag.hidden)
      .map(([name, flag]) => `--${name} ${flag.type === 'option' ? (flag.helpValue ?? 'VALUE') : ''}`.trim());
    const args = Object.values(this.command.args ?? {})
      .filter((arg) => !arg.hidden)
      .map((arg) => {
        const name = `${arg.name.toUpperCase()}${arg.multiple ? '...' : ''}`;
        return arg.required ? name : `[${name}]`;
      });
    return this.wrap([this.me, ...required, '[OPTION]...', ...args, this.#operands].join(' ').trim());
  }

  protected override examples(examples: Command.Example[] | undefined): string | undefined {
    const shown = (examples ?? []).map((example) =>
      typeof example === 'string'
        ? this.render(example)
        : `${this.wrap(example.description)}\n${brokenCommand(this.render(example.command))}`,
    );
    return shown.length === 0 ? undefined : shown.join('\n\n');
  }

  protected override flagHelpLabel(flag: Command.Flag.Any): string {
    const value = flag.type === 'option' ? ` ${flag.helpValue ?? flag.options?.join('|') ?? 'VALUE'}` : '';
    return `--${flag.name}${flag.char === undefined ? '' : `, -${flag.char}`}${value}`;
  }

  protected override flags(flags: Command.Flag.Any[]): [string, string | undefined][] | undefined {
    if (flags.length === 0) return undefined;
    return flags.map((flag) => {
      const required = flag.required ? ' (required)' : '';
      const usual = flag.type === 'option' && typeof flag.default === 'string' ? ` (default: ${flag.default})` : '';
      return [this.flagHelpLabel(flag), `${flag.summary ?? flag.description ?? ''}${required}${usual}`];
    });
  }
}

/** A text in lines of at most so many characters. */
function broken(text: string, length: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last === '') lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= length) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** A command to type, indented below its description; one that is too long goes on in the next line as a shell takes it. */
function brokenCommand(command: string): string {
  const lines: string[] = [];
  for (const word of command.split(/ (?=--)/)) {
    const line = lines.at(-1);
    if (line === undefined) lines.push(word);
    else if (line.length + word.length + 10 <= columns) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`    ${word}`);
  }
  return lines.map((line) => `  ${line}`).join(' \\\n');
}

/** One line of the list of commands; those that share a first word share a line, so that all fit one screen. */
function rootRows(side: CommandEntry['side']): [name: string, text: string][] {
  const rows = new Map<string, string>();
  for (const { id, summary } of commands.filter((entry) => entry.side === side)) {
    const [first = '', second] = id.split(' ');
    const before = rows.get(first);
    if (second === undefined) rows.set(first, summary);
    else rows.set(first, before === undefined ? `${topics[first] ?? ''}: ${second}` : `${before}, ${second}`);
  }
  return [...rows];
}

/** `byteback --help`: all commands on one screen. */
export function rootHelp(): string {
  const width = Math.max(...commands.map(({ id }) => (id.split(' ')[0] ?? '').length));
  const list = (side: CommandEntry['side']) =>
    rootRows(side)
      .map(
        ([name, text]) =>
          `  ${name.padEnd(width)}  ${broken(text, columns - width - 4).join(`\n${' '.repeat(width + 4)}`)}\n`,
      )
      .join('');
  const sections = [
    ['On a client, the machine that is backed up', list('client')],
    ['On the server, the machine that stores', list('server')],
    ['On both', list('both')],
  ].filter(([, lines]) => lines !== '');
  return `byteback ${version}: backups that look after themselves
Usage: byteback COMMAND [OPTION]...

${sections.map(([title, lines]) => `${title}:\n${lines}`).join('')}More of each: byteback COMMAND --help. Many are programs, too: byteback-backup.
`;
}

/** `byteback client --help`: the commands that begin with one word. */
export function topicHelp(topic: string): string {
  const entries = commands.filter(({ id }) => id.startsWith(`${topic} `));
  const width = Math.max(...entries.map(({ id }) => id.length));
  const lines = entries.map(({ id, summary }) => `  byteback ${id.padEnd(width)}  ${summary}\n`).join('');
  return `byteback ${topic}: ${topics[topic] ?? ''}\n\nUsage:\n${lines}\nbyteback ${topic} COMMAND --help tells more of one of them.\n`;
}
