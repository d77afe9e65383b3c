/**
 * The options that a client's rsync (3.2.3 to 3.5.0) sends when it is started as byteback starts it, and nothing else.
 * Words are parsed into values here, and an argv is built anew from the values: no word of a client reaches a program.
 */

/** One-letter options that came in the first word, and what stands behind them in `-e` (what the peer can do). */
interface Letters {
  readonly letters: ReadonlySet<string>;
  readonly abilities: ReadonlySet<string>;
}

/** What a push or a pull asks of rsync, parsed. */
export interface RsyncOptions extends Letters {
  /** Long options by name, with their checked value; '' where they have none. */
  readonly long: ReadonlyMap<string, string>;
}

/** What the server adds, whatever was asked. */
export interface ServerSide {
  /** Without a byte for this long, rsync ends itself. */
  readonly timeoutSeconds: number;
  /** True where the server's rsync is 3.5.0 or later. */
  readonly confine: boolean;
}

/** The directory that rsync works in, inside the jail. */
export const jailDirectory = '/data';

type Check = (value: string) => boolean;

const isNumber =
  (from: number, to: number): Check =>
  (value) =>
    /^[1-9]\d{0,8}$/.test(value) && Number(value) >= from && Number(value) <= to;
const isOneOf =
  (...values: string[]): Check =>
  (value) =>
    values.includes(value);
const hasNoValue: Check = (value) => value === '';

const infoWords = 'BACKUP|COPY|DEL|FLIST|MISC|MOUNT|NAME|NONREG|PROGRESS|REMOVE|SKIP|STATS|SYMSAFE';
const infoPattern = new RegExp(`^(?:${infoWords})[0-4]?(?:,(?:${infoWords})[0-4]?)*$`);

/** Long options with a value are `--name=value`, except the two that rsync writes `-B4096` and `-@-1`. */
const sharedLong: Readonly<Record<string, Check>> = {
  '--timeout': isNumber(1, 999_999_999),
  '--bwlimit': isNumber(1, 999_999_999),
  '--compress-choice': isOneOf('zstd', 'lz4', 'zlibx', 'zlib', 'none'),
  '--compress-level': isNumber(1, 22),
  '--new-compress': hasNoValue,
  '--old-compress': hasNoValue,
  '--checksum-choice': isOneOf('xxh128', 'xxh3', 'xxh64', 'md5', 'sha1', 'auto'),
  '--info': (value) => infoPattern.test(value),
  '--numeric-ids': hasNoValue,
  '--inplace': hasNoValue,
  '-B': isNumber(512, 131_072),
};

interface Table {
  readonly requiredLetters: string;
  readonly optionalLetters: string;
  readonly required: readonly string[];
  readonly long: Readonly<Record<string, Check>>;
}

// -H is required: without it rsync before 3.5.0 can be led to names outside (CVE-2026-70458). A, X, o, g, D, p and t are
// what makes a copy complete; -@-1 is what makes it notice every change.
const completeLetters = 'lHogDtpAX';

const pushTable: Table = {
  requiredLetters: completeLetters,
  optionalLetters: 'rdRWcISxzv',
  required: ['--numeric-ids', '-@'],
  long: {
    ...sharedLong,
    '-@': isOneOf('-1'),
    '--no-r': hasNoValue,
    '--delete': hasNoValue,
    '--delete-before': hasNoValue,
    '--delete-during': hasNoValue,
    '--delete-delay': hasNoValue,
    '--delete-after': hasNoValue,
    '--delete-excluded': hasNoValue,
    '--delete-missing-args': hasNoValue,
    '--force': hasNoValue,
    '--partial': hasNoValue,
    '--stats': hasNoValue,
    '--log-format': isOneOf('X', '%i', '%i%I', '%o'),
  },
};

/** A push that writes nothing and only tells what differs. */
const checkTable: Table = { ...pushTable, requiredLetters: `n${completeLetters}` };

const pullTable: Table = {
  requiredLetters: completeLetters,
  // -n: a comparison that sends no content; -b: the client keeps what it replaces.
  optionalLetters: 'nbrdRWcISxzv',
  required: ['--numeric-ids'],
  long: {
    ...sharedLong,
    // Names travel over the wire, never in the command; without any it is all of the snapshot.
    '--files-from': isOneOf('-'),
    '--suffix': (value) => /^\.before-\d{4}-\d{2}-\d{2}T\d{6}Z$/.test(value),
    '--from0': hasNoValue,
    '--no-relative': hasNoValue,
    '--no-implied-dirs': hasNoValue,
  },
};

/** What a client's rsync may say it can do, in rsync's own order. */
const knownAbilities = 'iLsfxCIvu';

/** All words that an argv made here may hold besides numbers: what the fuzzing compares with. */
export const rsyncTables = { push: pushTable, check: checkTable, pull: pullTable } as const;
export type Direction = keyof typeof rsyncTables;

/** Why some words are refused. */
export interface Refusal {
  readonly refusal: string;
  /** The client may hear it: it gives nothing away, and a person needs it. */
  readonly told?: true;
}

export function isRefusal(value: object): value is Refusal {
  return 'refusal' in value;
}

/** Parses the words after `--server` or `--server --sender`. */
export function parseRsyncWords(direction: Direction, words: readonly string[]): RsyncOptions | Refusal {
  const table = rsyncTables[direction];
  if (words.length < 3 || words.at(-1) !== '.' || words.at(-2) !== '.') {
    return { refusal: 'the last two words must be ". .": the server decides the directory' };
  }
  const parsed = parseLetters(table, words[0] ?? '');
  if (isRefusal(parsed)) return parsed;
  const long = new Map<string, string>();
  for (const word of words.slice(1, -2)) {
    const [name, value] = splitOption(word);
    const check = Object.hasOwn(table.long, name) ? table.long[name] : undefined;
    if (check === undefined) return { refusal: `the option ${word} is not allowed` };
    if (long.has(name)) return { refusal: `the option ${name} is given twice` };
    if (!check(value)) return { refusal: `the option ${word} has a value that is not allowed` };
    long.set(name, value);
  }
  for (const name of table.required) if (!long.has(name)) return { refusal: `the option ${name} is missing` };
  return whyNotTogether(parsed, long) ?? { ...parsed, long };
}

function whyNotTogether({ letters }: Letters, long: ReadonlyMap<string, string>): Refusal | undefined {
  if (letters.has('S') && long.has('--inplace')) return { refusal: '-S and --inplace do not go together' };
  // With a list of names it deletes what the list names and the client has no more. A walk has --delete for that.
  if (long.has('--delete-missing-args') && (letters.has('r') || !letters.has('R'))) {
    return { refusal: '--delete-missing-args is not allowed without a list of names' };
  }
  const when = [...long.keys()].filter((name) => /^--delete(?:-(?:before|during|delay|after))?$/.test(name));
  if (when.length > 1) return { refusal: `${when.join(' and ')} do not go together` };
  return undefined;
}

/** `--name=value`, `-B4096` and `-@-1` in two parts. `--name=` is not `--name`. */
function splitOption(word: string): [name: string, value: string] {
  if (/^-[B@]/.test(word)) return [word.slice(0, 2), word.slice(2)];
  const equals = word.indexOf('=');
  if (equals === -1) return [word, ''];
  const value = word.slice(equals + 1);
  return value === '' ? [word, ''] : [word.slice(0, equals), value];
}

function parseLetters(table: Table, word: string): Letters | Refusal {
  const [, bundle, abilityText] = /^-([A-Za-df-z]+)e\.([A-Za-z]*)$/.exec(word) ?? [];
  if (bundle === undefined || abilityText === undefined) {
    return { refusal: `the first word of options is ${word}, which is not as rsync sends it` };
  }
  const letters = new Set<string>();
  for (const letter of bundle) {
    if (!table.requiredLetters.includes(letter) && !table.optionalLetters.includes(letter)) {
      return { refusal: `the option -${letter} is not allowed` };
    }
    if (letters.has(letter)) return { refusal: `the option -${letter} is given twice` };
    letters.add(letter);
  }
  for (const letter of table.requiredLetters) {
    if (!letters.has(letter)) return { refusal: `the option -${letter} is missing` };
  }
  const abilities = new Set<string>();
  for (const ability of abilityText) {
    if (!knownAbilities.includes(ability)) return { refusal: `-e.${abilityText} is not known` };
    if (abilities.has(ability)) return { refusal: `-e.${abilityText} says ${ability} twice` };
    abilities.add(ability);
  }
  return { letters, abilities };
}

/** The argv of the server's rsync, built from values, in an order of ours. */
export function buildRsyncArgv(direction: Direction, options: RsyncOptions, server: ServerSide): [string, ...string[]] {
  const table = rsyncTables[direction];
  const inOrder = (all: string, some: ReadonlySet<string>) => [...all].filter((letter) => some.has(letter)).join('');
  const letters = inOrder(table.requiredLetters + table.optionalLetters, options.letters);
  const long = Object.keys(table.long)
    .filter((name) => name !== '--timeout')
    .flatMap((name) => {
      const value = options.long.get(name);
      if (value === undefined) return [];
      if (!name.startsWith('--')) return [`${name}${value}`];
      return [value === '' ? name : `${name}=${value}`];
    });
  const asked = Number(options.long.get('--timeout') ?? server.timeoutSeconds);
  return [
    'rsync',
    '--server',
    ...(direction === 'pull' ? ['--sender'] : []),
    `-${letters}e.${inOrder(knownAbilities, options.abilities)}`,
    ...long,
    `--timeout=${Math.min(asked, server.timeoutSeconds)}`,
    '--fake-super',
    ...(server.confine ? [`--confine-root=${jailDirectory}`] : []),
    '.',
    '.',
  ];
}
