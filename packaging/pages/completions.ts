/** What the three shells complete, made from the commands' classes. */
import type { Command, Option } from './commands.ts';

/** What a value is completed with: names of files, of directories, one of some words, or nothing. */
function kindOf({ value, choices }: Option): 'files' | 'directories' | 'choices' | 'nothing' {
  if (choices.length > 0) return 'choices';
  if (value === undefined) return 'nothing';
  if (/^(?:DIR|DIRECTORY)$/.test(value)) return 'directories';
  return /FILE|PATH|DEVICE|DEV\b|SOURCE/.test(value) ? 'files' : 'nothing';
}

/** Commands whose further words are paths. */
const takesPaths = ({ usage }: Command) => usage.some((word) => /PATH|FILE/.test(word));

const programsOf = (all: readonly Command[]) => all.filter(({ executable }) => executable);

/** The words that can come after the given ones: the commands, or those of a topic. */
function wordsAfter(all: readonly Command[], before: string): string[] {
  const prefix = before === '' ? '' : `${before} `;
  const next = all
    .filter(({ id }) => id.startsWith(prefix))
    .map(({ id }) => id.slice(prefix.length).split(' ')[0] ?? '');
  return [...new Set(next)];
}

const topicsOf = (all: readonly Command[]) => [
  ...new Set(all.filter(({ id }) => id.includes(' ')).map(({ id }) => id.split(' ')[0] ?? '')),
];

const spelt = (option: Option) => [...(option.char === undefined ? [] : [`-${option.char}`]), `--${option.name}`];

export function bashCompletion(all: readonly Command[]): string {
  const values = (command: Command) =>
    command.options
      .filter(({ value }) => value !== undefined)
      .map((option) => {
        const reply = {
          files: 'compgen -f',
          directories: 'compgen -d',
          choices: `compgen -W '${option.choices.join(' ')}'`,
          nothing: ':',
        }[kindOf(option)];
        return `            '${command.id} '${spelt(option)
          .map((word) => word)
          .join(
            `|'${command.id} '`,
          )}) mapfile -t COMPREPLY < <(${reply}${reply === ':' ? '' : ' -- "$word"'}); return ;;`;
      })
      .join('\n');
  const options = all
    .map((command) => `        '${command.id}') options='${command.options.flatMap(spelt).join(' ')}' ;;`)
    .join('\n');
  const commandWords = [
    `        '') words='${wordsAfter(all, '').join(' ')} help --help --version' ;;`,
    ...topicsOf(all).map((topic) => `        '${topic}') words='${wordsAfter(all, topic).join(' ')} --help' ;;`),
  ].join('\n');
  return `# bash completion for byteback; made by npm run package from the commands themselves.

_byteback() {
    local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
    local program=\${COMP_WORDS[0]##*/} id='' at=1 options='' words='' topics=' ${topicsOf(all).join(' ')} '
    COMPREPLY=()
    if [[ $program == byteback-* ]]; then
        id=\${program#byteback-}
    else
        [[ \${COMP_WORDS[1]} == help && COMP_CWORD -gt 1 ]] && at=2
        if ((COMP_CWORD > at)); then
            id=\${COMP_WORDS[at]}
            if [[ $topics == *" $id "* ]] && ((COMP_CWORD > at + 1)); then
                id="$id \${COMP_WORDS[at + 1]}"
            fi
        fi
    fi
    case "$id" in
${commandWords}
    esac
    if [[ -n $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
        return
    fi
    case "$id $before" in
${all.map(values).join('\n')}
    esac
    case "$id" in
${options}
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return
    fi
    case "$id" in
        ${all
          .filter(takesPaths)
          .map(({ id }) => `'${id}'`)
          .join('|')}) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}
complete -o filenames -F _byteback byteback ${programsOf(all)
    .map(({ page }) => page)
    .join(' ')}
`;
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

function zshArguments(command: Command): string {
  const specs = command.options.map((option) => {
    const text = option.description.replaceAll(/[[\]:\\]/g, (sign) => `\\${sign}`);
    const action = {
      files: '_files',
      directories: '_files -/',
      choices: `(${option.choices.join(' ')})`,
      nothing: ' ',
    }[kindOf(option)];
    const value = option.value === undefined ? '' : `:${option.value.replaceAll(':', '\\:')}:${action}`;
    return spelt(option)
      .map((word) => quoted(`${option.repeatable ? '*' : ''}${word}[${text}]${value}`))
      .join(' ');
  });
  const rest = takesPaths(command) ? [quoted('*:path:_files')] : [];
  return ['_arguments -s -S', ...specs, ...rest].join(' \\\n                ');
}

const functionOf = (id: string) => `_byteback_${id.replaceAll(/[ -]/g, '_')}`;

export function zshCompletion(all: readonly Command[]): string {
  const described = (before: string) =>
    wordsAfter(all, before)
      .map((word) => {
        const id = before === '' ? word : `${before} ${word}`;
        const summary = all.find((command) => command.id === id)?.summary ?? 'its commands';
        return `        ${quoted(`${word}:${summary.replaceAll(':', '\\:')}`)}`;
      })
      .join('\n');
  const topics = topicsOf(all);
  return `#compdef byteback ${programsOf(all)
    .map(({ page }) => page)
    .join(' ')}
# zsh completion for byteback; made by npm run package from the commands themselves.

${all.map((command) => `${functionOf(command.id)}() {\n    ${zshArguments(command)}\n}`).join('\n\n')}

_byteback_words() {
    local -a commands
    case "$1" in
    '') commands=(
${described('')}
    ) ;;
${topics.map((topic) => `    ${topic}) commands=(\n${described(topic)}\n    ) ;;`).join('\n')}
    esac
    _describe command commands
}

_byteback() {
    if [[ $service == byteback-* ]]; then
        _byteback_\${\${service#byteback-}//-/_}
        return
    fi
    [[ $words[2] == help ]] && (( CURRENT > 2 )) && shift words && (( CURRENT-- ))
    if (( CURRENT == 2 )); then
        _byteback_words ''
        return
    fi
    local id=$words[2]
    case $id in
    ${topics.join('|')})
        if (( CURRENT == 3 )); then
            _byteback_words $id
            return
        fi
        id="$id-$words[3]"
        shift words
        (( CURRENT-- ))
        ;;
    esac
    shift words
    (( CURRENT-- ))
    (( $+functions[_byteback_\${id//-/_}] )) && _byteback_\${id//-/_}
}

_byteback "$@"
`;
}

function fishOptions(program: string, condition: string, command: Command): string[] {
  const start = `complete -c ${program}${condition === '' ? '' : ` -n '${condition}'`}`;
  return command.options.map((option) => {
    const char = option.char === undefined ? '' : ` -s ${option.char}`;
    const value = {
      files: ' -r -F',
      directories: ' -x -a "(__fish_complete_directories)"',
      choices: ` -x -a '${option.choices.join(' ')}'`,
      nothing: option.value === undefined ? '' : ' -x',
    }[kindOf(option)];
    return `${start}${char} -l ${option.name}${value} -d ${quoted(option.description)}`;
  });
}

/** Fish looks for a file by the name of the program that is typed. */
export function fishCompletions(all: readonly Command[]): ReadonlyMap<string, string> {
  const head = '# fish completion for byteback; made by npm run package from the commands themselves.\n';
  const files = new Map<string, string>();
  const topics = topicsOf(all);
  const root = [
    `function __byteback_is --description 'the words typed so far name this command'
    set -l typed (commandline -opc)[2..]
    test "$typed[1]" = help; and set -e typed[1]
    for word in $argv
        test "$typed[1]" = "$word"; or return 1
        set -e typed[1]
    end
    return 0
end`,
    `function __byteback_at --description 'the next word is the one after these'
    set -l typed (commandline -opc)[2..]
    test "$typed[1]" = help; and set -e typed[1]
    test "$typed" = "$argv"
end`,
    'complete -c byteback -f',
    'complete -c byteback -n __byteback_at -l version -d "show the version"',
    'complete -c byteback -n __byteback_at -l help -d "show the commands"',
    ...['', ...topics].flatMap((before) =>
      wordsAfter(all, before).map((word) => {
        const summary = all.find(({ id }) => id === `${before} ${word}`.trim())?.summary ?? 'its commands';
        return `complete -c byteback -n '__byteback_at ${before}' -a ${word} -d ${quoted(summary)}`;
      }),
    ),
    ...all.flatMap((command) => [
      ...fishOptions('byteback', `__byteback_is ${command.id}`, command),
      ...(takesPaths(command) ? [`complete -c byteback -n '__byteback_is ${command.id}' -F`] : []),
    ]),
  ];
  files.set('byteback', `${head}${root.join('\n')}\n`);
  for (const command of programsOf(all)) {
    const rest = takesPaths(command) ? [] : [`complete -c ${command.page} -f`];
    files.set(command.page, `${head}${[...rest, ...fishOptions(command.page, '', command)].join('\n')}\n`);
  }
  return files;
}
