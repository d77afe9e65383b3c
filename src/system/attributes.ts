import { ProgramError, run } from './run.ts';

/** The extended attributes of one file: the value in hexadecimal digits, by name. */
export type Attributes = ReadonlyMap<string, string>;

/**
 * The extended attributes of some files, by path (bytes as latin1); what has none is left out. The paths go over standard input,
 * because an argument must be text here and a name need not be. Undefined where getfattr is not installed.
 * @param match a regular expression for the names of attributes.
 */
export async function readAttributes(
  places: readonly Buffer[],
  match: string,
): Promise<Map<string, Attributes> | undefined> {
  if (places.length === 0) return new Map();
  try {
    const { stdout, exitCode } = await run(
      [
        ...(['xargs', '--null', '--', 'getfattr', '--no-dereference', '--absolute-names', '--dump'] as const),
        ...['--encoding=hex', `--match=${match}`, '--'],
      ],
      // 123: a name was not there, or cannot be read; 127: getfattr is not installed.
      {
        input: Buffer.concat(places.flatMap((place) => [place, Buffer.from([0])])),
        accept: [0, 123, 127],
        timeoutMs: 0,
      },
    );
    return exitCode === 127 ? undefined : parseDump(stdout.toString('latin1'));
  } catch (error) {
    if (!(error instanceof ProgramError) || error.notFound) return undefined;
    if (places.length === 1) throw error;
    // They are larger than what is kept of a program's output.
    const half = Math.ceil(places.length / 2);
    const first = await readAttributes(places.slice(0, half), match);
    return new Map([...(first ?? []), ...((await readAttributes(places.slice(half), match)) ?? [])]);
  }
}

/** Reads what `getfattr --dump --encoding=hex` prints: "# file: name", then "attribute=0x…" in lines, then an empty line. */
export function parseDump(dump: string): Map<string, Attributes> {
  const files = new Map<string, Map<string, string>>();
  let current: Map<string, string> | undefined;
  for (const line of dump.split('\n')) {
    if (line.startsWith('# file: ')) {
      current = new Map();
      files.set(unquote(line.slice(8)), current);
      continue;
    }
    // The value has no such sign, and one in the name is written as three octal digits.
    const [, name, value] = /^([^=]+)(?:=(?:0x([0-9a-f]*)|"")?)?$/.exec(line) ?? [];
    if (name !== undefined) current?.set(unquote(name), value ?? '');
  }
  return files;
}

/** getfattr writes newlines, carriage returns, equals signs and backslashes of a name as three octal digits. */
function unquote(quoted: string): string {
  if (!quoted.includes('\\')) return quoted;
  return quoted.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
