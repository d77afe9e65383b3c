import { type ExitName, exitCodes, exitMeanings } from '../../src/errors.ts';
import { version } from '../../src/version.ts';
import type { Command, Option } from './commands.ts';
import { bold, entry, escaped, heading, literal, pageOf, paragraph, prose, title } from './roff.ts';

const about = 'byteback';

/** What a side reads and writes, of interest to a person. */
const files: Readonly<Record<'client' | 'server', readonly (readonly [path: string, what: string])[]>> = {
  client: [
    ['/etc/byteback/client.toml', 'what this client sends, and where to; see byteback-client.toml(5)'],
    ['/etc/byteback/key', "this client's private key, and beside it the public one"],
    ['/etc/byteback/known_hosts', 'the host key of the server, pinned at set-up'],
    ['/etc/byteback/ssh_config', 'how ssh reaches the server; yours to change'],
    ['/etc/byteback/hooks/', 'programs that are run before and after'],
    ['/var/lib/byteback/', 'the catalogue and the record of the last run'],
  ],
  server: [
    ['/etc/byteback/server.toml', 'the settings of the server; see byteback-server.toml(5)'],
    ['/etc/byteback/authorized_keys', 'who may log in: the registry of clients, written by byteback only'],
    ['/byteback/', 'the store'],
    [
      '/byteback/clients/NAME/snapshots/SNAPSHOT/fs/',
      "a client's files as they were then, as plain files in a read-only snapshot",
    ],
  ],
};

const clientEnvironment: readonly (readonly [name: string, what: string])[] = [
  ['BYTEBACK_CONFIG_DIR', 'stands for /etc/byteback on a client, so that one machine can act as several clients'],
  ['BYTEBACK_STATE_DIR', 'stands for /var/lib/byteback, likewise'],
];
const everyEnvironment: readonly (readonly [name: string, what: string])[] = [
  ['NO_COLOR', 'set to anything: no colours'],
];

function optionTag({ name, char, value }: Option): string {
  const suffix = value === undefined ? '' : ` \\fI${escaped(value)}\\fR`;
  const short = char === undefined ? '' : `${bold(`-${char}`)}${suffix}, `;
  return `${short}${bold(`--${name}`)}${suffix}`;
}

function synopsis(command: Command, program: string): string {
  const required = command.options
    .filter((option) => option.required)
    .map(({ name, value }) => `${bold(`--${name}`)} \\fI${escaped(value ?? '')}\\fR`);
  const operands = command.usage.map((word) => `\\fI${escaped(word)}\\fR`);
  return [bold(program), ...required, '[\\fIOPTION\\fR]...', ...operands].join(' ');
}

function listing(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([name, what]) => entry(bold(name), prose(what))).join('');
}

function exitStatus(): string {
  const rows = (Object.keys(exitCodes) as ExitName[]).map((name) =>
    entry(bold(String(exitCodes[name])), prose(exitMeanings[name])),
  );
  return heading('EXIT STATUS') + rows.join('');
}

function seeAlso(names: readonly string[]): string {
  return (
    heading('SEE ALSO') + names.map((name) => name.replace(/^(.*)(\(\d\))$/, (_, a, b) => bold(a) + b)).join(',\n')
  );
}

const configurationPages = { client: ['byteback-client.toml(5)'], server: ['byteback-server.toml(5)'] };

/** The page of one command. @param date of the sources, in seconds. */
export function commandPage(command: Command, all: readonly Command[], date: number): string {
  const sides = command.side === 'both' ? (['client', 'server'] as const) : [command.side];
  const other = command.executable ? [`byteback ${command.id}`] : [];
  const related = all.filter(
    (each) => each !== command && (each.side === 'both' || sides.some((side) => side === each.side)),
  );
  return pageOf([
    title(command.page, 1, about, version, date),
    heading('NAME'),
    `${escaped(command.page)} \\- ${escaped(command.summary)}\n`,
    heading('SYNOPSIS'),
    [command.program, ...other].map((program) => `${synopsis(command, program)}\n`).join('.br\n'),
    heading('DESCRIPTION'),
    command.description.map((text) => paragraph(prose(text))).join(''),
    command.operands.map(({ name, description }) => entry(`\\fI${escaped(name)}\\fR`, prose(description))).join(''),
    heading('OPTIONS'),
    command.options
      .map((option) => {
        const text = [
          option.description,
          option.required ? 'Required.' : '',
          option.choices.length > 0 ? `One of: ${option.choices.join(', ')}.` : '',
          option.repeatable ? 'Can be given several times.' : '',
        ];
        return entry(
          optionTag(option),
          prose(
            text
              .filter((part) => part !== '')
              .join('. ')
              .replaceAll('..', '.'),
          ),
        );
      })
      .join(''),
    exitStatus(),
    heading('ENVIRONMENT'),
    listing([...(command.side === 'server' ? [] : clientEnvironment), ...everyEnvironment]),
    heading('FILES'),
    sides.map((side) => listing(files[side])).join(''),
    ...(command.examples.length === 0
      ? []
      : [
          heading('EXAMPLES'),
          command.examples
            .map((example) => {
              const text = example.description === '' ? '' : paragraph(prose(`${example.description}:`));
              return text + literal(example.command);
            })
            .join(''),
        ]),
    seeAlso([
      'byteback(1)',
      ...related.map(({ page }) => `${page}(1)`),
      ...sides.flatMap((side) => configurationPages[side]),
    ]),
    '\n',
  ]);
}

const sideTitles = { client: 'On a client', server: 'On the server', both: 'On both' } as const;

/** byteback(1): what there is. */
export function rootPage(all: readonly Command[], date: number): string {
  return pageOf([
    title('byteback', 1, about, version, date),
    heading('NAME'),
    'byteback \\- backups that look after themselves\n',
    heading('SYNOPSIS'),
    `${bold('byteback')} \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n.br\n`,
    `${bold('byteback')} [${bold('--help')}|${bold('--version')}]\n`,
    heading('DESCRIPTION'),
    paragraph(
      prose(
        'byteback keeps the files of many Linux machines, its clients, as plain files in read-only btrfs snapshots on one server. ' +
          'The clients push their files by rsync over ssh. The server keeps as much history as its disk holds: the least important snapshots go when, and only when, space is needed.',
      ),
    ),
    paragraph(
      prose(
        'A successful run says nothing unless it is asked. Standard output is the result, standard error the log. With --json a command prints one JSON object instead of text. Every command takes --help.',
      ),
    ),
    heading('COMMANDS'),
    (['client', 'server', 'both'] as const)
      .map(
        (side) =>
          `.SS ${escaped(sideTitles[side])}\n` +
          all
            .filter((command) => command.side === side)
            .map((command) => entry(`${bold(command.page)}(1)`, prose(`${command.program}: ${command.summary}`)))
            .join(''),
      )
      .join(''),
    heading('OPTIONS'),
    entry(bold('--help'), prose('show the commands')),
    entry(bold('--version'), prose('show the version')),
    exitStatus(),
    heading('ENVIRONMENT'),
    listing([...clientEnvironment, ...everyEnvironment]),
    heading('FILES'),
    listing(files.client),
    listing(files.server),
    heading('EXAMPLES'),
    paragraph(prose('A server on a disk of its own, and the line for its first client:')),
    literal('byteback-setup-server --device /dev/sdb\nbyteback client invite web1.example.net'),
    paragraph(prose('On the client, with the line that was printed; it asks for the invite:')),
    literal('byteback-setup-client --destination byteback@backup.example.net: --invite\nbyteback-backup --verbose'),
    seeAlso([
      ...all.map(({ page }) => `${page}(1)`),
      'byteback-client.toml(5)',
      'byteback-server.toml(5)',
      'rsync(1)',
      'btrfs(8)',
    ]),
    '\n',
  ]);
}
