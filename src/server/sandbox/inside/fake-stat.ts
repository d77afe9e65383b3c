import { ProgramError, run } from '../../../system/run.ts';

/** The attribute in which rsync --fake-super keeps what a file was: "100644 0,0 1000:1000". */
const attribute = 'user.rsync.%stat';

/** What `user.rsync.%stat` says, or undefined when it is corrupt. */
export function parseFakeStat(text: string): { mode: number; uid: number; gid: number } | undefined {
  const [, modeText, uidText, gidText] = /^([0-7]{1,7}) \d{1,10},\d{1,10} (\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (modeText === undefined) return undefined;
  const mode = Number.parseInt(modeText, 8);
  const [uid, gid] = [Number(uidText), Number(gidText)];
  return mode > 0 && uid <= 0xffffffff && gid <= 0xffffffff ? { mode, uid, gid } : undefined;
}

/**
 * The attribute's text for each place, in order; undefined where there is none. Where getfattr is not installed there is
 * none for any. The names go over standard input, because an argument must be text here and a name need not be.
 */
export async function readFakeStats(places: readonly Buffer[]): Promise<(string | undefined)[]> {
  if (places.length === 0) return [];
  return recordsIn(await getfattr(Buffer.concat(places.flatMap((place) => [place, Buffer.from([0])]))), places);
}

/** The program that lists the attribute of the files whose names, each ended by NUL, it is given on standard input. */
export const getfattrArgv = [
  ...(['xargs', '--null', '--', 'getfattr', '--no-dereference', '--encoding=hex'] as const),
  `--name=${attribute}`,
  '--',
] as const;

/** The attribute's text for each place, in order, out of what getfattr found. */
export function recordsIn(found: ReadonlyMap<string, string>, places: readonly Buffer[]): (string | undefined)[] {
  // getfattr leaves away the ./ or / that a name begins with.
  return places.map((place) => found.get(place.toString('latin1').replace(/^(?:(?:\.\/)+|\/+)/, '')));
}

async function getfattr(names: Buffer): Promise<Map<string, string>> {
  try {
    // 123: getfattr said of some that they have no such attribute; 127: it is not installed.
    const { stdout } = await run([...getfattrArgv], { input: names, accept: [0, 123, 127] });
    return parseGetfattr(stdout.toString('latin1'));
  } catch (error) {
    if (error instanceof ProgramError && error.notFound) return new Map();
    throw error;
  }
}

/** Names (bytes as latin1) and values out of getfattr's listing: "# file: name", "user.rsync.%stat=0x…". */
export function parseGetfattr(listing: string): Map<string, string> {
  const values = new Map<string, string>();
  let name = '';
  for (const line of listing.split('\n')) {
    const file = /^# file: (.*)$/.exec(line)?.[1];
    if (file !== undefined) name = unquote(file);
    const hex = /^user\.rsync\.%stat(?:=(?:0x([0-9a-f]*)|"")?)?$/.exec(line);
    if (hex !== null) values.set(name, Buffer.from(hex[1] ?? '', 'hex').toString('latin1'));
  }
  return values;
}

/** getfattr writes newlines, carriage returns and backslashes of a name as three octal digits. */
function unquote(quoted: string): string {
  return quoted.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
