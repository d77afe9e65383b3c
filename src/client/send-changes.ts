import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { entryNow } from '../catalogue/entry-now.ts';
import type { Move } from '../catalogue/moves.ts';
import { parentOf } from '../catalogue/record.ts';
import { ReplayReplySchema, SeparateReplySchema } from '../protocol/messages.ts';
import type { RsyncItem } from '../system/rsync-output.ts';
import type { ChangePlan, WalkPlan } from './change-plan.ts';
import { ask } from './remote.ts';
import { whyOf } from './session.ts';
import { type PassesEnd, pathOf, type TransferContext, together, transfer } from './transfer.ts';
import { type WalkEnd, walkEverything } from './walk-everything.ts';

/**
 * Has the server rename what was renamed here. It is tried once: what state an interrupted replay leaves is not known.
 * @returns undefined when all went well, otherwise why everything has to be walked.
 */
export async function replayMoves(context: TransferContext, moves: readonly Move[]): Promise<string | undefined> {
  if (moves.length === 0) return undefined;
  const { session, log } = context;
  log.step(`replaying ${moves.length} renames`);
  const list = Buffer.from(
    moves.flatMap(({ from, to }) => [`${from.slice(1)}\0`, `${to.slice(1)}\0`]).join(''),
    'latin1',
  );
  try {
    const connection = await session.connect();
    const { failed } = await ask(connection, `replay ${context.run}`, list, ReplayReplySchema, {
      signal: session.signal,
    });
    return failed === 0 ? undefined : `the server could not replay ${failed} renames`;
  } catch (error) {
    session.signal.throwIfAborted();
    return `the renames could not be replayed: ${whyOf(error)}`;
  }
}

/** Up to so many bytes of changed files all is compared by checksum in one pass: reading them costs less than a session. */
const onePassBytes = 64 * 1024 * 1024;

/** What a run has besides the changes to send: the part of the tree that it checks itself by checksum. */
export interface Check {
  /** Absolute. */
  readonly directories: readonly string[];
  /** Told what only the check saw. */
  readonly onFinding: (item: RsyncItem) => void;
}

/** What is sent, and what was renamed before. */
type Sendable = Pick<ChangePlan, 'send' | 'moves'>;

/**
 * Sends what changed, group by group, and checks a part of the tree; directories and what is gone come last, so that their
 * times are right. Where little changed, all but the files in place goes in one pass, with the check.
 */
export async function sendChanges(
  context: TransferContext,
  { send, moves }: Sendable,
  check: Check,
  workDirectory: string,
): Promise<PassesEnd> {
  const { log } = context;
  const ends: PassesEnd[] = [];
  const list = (name: string, names: readonly string[]) => writeList(join(workDirectory, name), names);
  for (const { checksum, paths } of send.sparse) ends.push(await sendSparse(context, paths, checksum, workDirectory));
  for (const { blockSizeBytes, checksum, paths } of send.inPlace) {
    log.step(`sending ${paths.length} large files in place`);
    const listFile = await list(`in-place-${blockSizeBytes}-${checksum}`, namesOf(paths));
    ends.push(await transfer(context, { kind: 'inPlace', listFile, blockSizeBytes, checksum }, workDirectory));
  }
  // What was written in place is in the last list too: whatever the pass in place could not do is done or named here.
  const first = [...send.sparse, ...send.inPlace];
  const rest = [...send.normal, ...first.flatMap(({ checksum, paths }) => (checksum ? [] : paths))];
  if (touchesRoot({ send, moves })) rest.unshift('/');
  const { directories, onFinding } = check;
  const onePass = send.listedBytes <= onePassBytes && directories.length + send.checksum.length > 0;
  if (onePass) {
    const changes = send.normal.length + send.checksum.length;
    const checking = directories.length === 0 ? '' : `, checking ${directories.length} directories`;
    log.step(`sending ${changes} changes${checking}`);
    const listed = [...rest, ...send.checksum];
    const isKnown = knownFrom(listed, send.noDirectoryNow);
    const onItem = (item: RsyncItem) => {
      if (!isKnown(item.name)) onFinding(item);
    };
    const whole = new Set(directories);
    const names = [...namesOf(listed.filter((path) => !whole.has(path))), ...directories.map(contentsOf)];
    const pass = { kind: directories.length > 0 ? 'check' : 'list', checksum: true } as const;
    const listFile = await list('changes', names);
    ends.push(await transfer({ ...context, onItem }, { ...pass, listFile }, workDirectory));
    return together(ends);
  }
  if (send.checksum.length > 0) {
    log.step(`comparing ${send.checksum.length} files by checksum`);
    const listFile = await list('checksum', namesOf(send.checksum));
    ends.push(await transfer(context, { kind: 'list', listFile, checksum: true }, workDirectory));
  }
  log.step(`sending ${send.normal.length} other changes`);
  ends.push(await transfer(context, { kind: 'list', listFile: await list('changes', namesOf(rest)) }, workDirectory));
  ends.push(await checkDirectories(context, check, workDirectory));
  return together(ends);
}

/**
 * Whether the time of the root itself may be another on the server when the changes have gone over: it is sent then. Its name, `.`,
 * shows rsync what lies directly in it, so that otherwise it is not named.
 */
export function touchesRoot({ send: { normal, checksum, inPlace, sparse }, moves }: Sendable): boolean {
  // Files are made single, and what was renamed is kept meanwhile, under names at the top.
  if (inPlace.length > 0 || moves.length > 0) return true;
  const made = [...normal, ...checksum, ...sparse.flatMap(({ paths }) => paths)];
  return made.some((path) => parentOf(path) === '/');
}

/** Makes large files with holes, so that these stay holes. */
async function sendSparse(
  context: TransferContext,
  paths: readonly string[],
  checksum: boolean,
  workDirectory: string,
): Promise<PassesEnd> {
  if (paths.length === 0) return together([]);
  context.log.step(`sending ${paths.length} large files with holes`);
  const listFile = await writeList(join(workDirectory, `sparse-${checksum}`), namesOf(paths));
  return await transfer(context, { kind: 'list', listFile, checksum, sparse: true }, workDirectory);
}

/** Which of some files the server lacks; none where it is too old to say so. */
async function missingOf({ session, run }: TransferContext, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const list = listOf(namesOf(paths));
  const { missing = [] } = await session.persist('later', (connection) =>
    ask(connection, `separate ${run}`, list, SeparateReplySchema, { signal: session.signal }),
  );
  return missing.flatMap((at) => paths[at] ?? []);
}

/** Compares a part of the tree by checksum, and puts right what differs. */
export async function checkDirectories(
  context: TransferContext,
  { directories, onFinding }: Check,
  workDirectory: string,
): Promise<PassesEnd> {
  if (directories.length === 0) return together([]);
  context.log.step(`checking ${directories.length} directories by checksum`);
  const listFile = await writeList(join(workDirectory, 'check'), directories.map(contentsOf));
  return await transfer({ ...context, onItem: onFinding }, { kind: 'check', listFile }, workDirectory);
}

/**
 * Whether a name that rsync tells was to be expected: a listed path, a directory above one (rsync puts those right by the
 * way), or what was in a directory that is none any more.
 */
function knownFrom(paths: readonly string[], noDirectoryNow: ReadonlySet<string>): (name: Buffer) => boolean {
  const known = new Set<string>(['/']);
  for (const path of paths) {
    for (let at = path; !known.has(at); at = parentOf(at)) known.add(at);
  }
  return (name) => {
    const path = pathOf(name);
    if (known.has(path)) return true;
    for (let at = path; at !== '/'; at = parentOf(at)) if (noDirectoryNow.has(at)) return true;
    return false;
  };
}

/** The paths relative to the root, which is `.`. */
export function namesOf(paths: readonly string[]): string[] {
  return paths.map((path) => (path === '/' ? '.' : path.slice(1)));
}

/** A directory with what is in it: a slash at the end. */
export function contentsOf(directory: string): string {
  return `${directory === '/' ? '.' : directory.slice(1)}/`;
}

/** Writes a list for rsync's --files-from. */
export async function writeList(file: string, names: readonly string[]): Promise<string> {
  await writeFile(file, listOf(names), { mode: 0o600 });
  return file;
}

/** Names as rsync's --from0 --files-from has them. */
function listOf(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
}

/** Deletes on the server what is not here, by name; topmost paths only. */
export async function removeListed(
  context: TransferContext,
  remove: readonly string[],
  workDirectory: string,
): Promise<PassesEnd> {
  // rsync complains of a path whose directory is none.
  const removable = remove.filter((path) => isDirectory(parentOf(path), context.root));
  if (removable.length === 0) return together([]);
  const paths = new Set(removable.flatMap((path) => [path, parentOf(path)]));
  const listFile = await writeList(join(workDirectory, 'to-remove'), namesOf([...paths]));
  return await transfer(context, { kind: 'remove', listFile }, workDirectory);
}

function isDirectory(path: string, root: string): boolean {
  try {
    return entryNow(path, root)?.type === 'd';
  } catch {
    return false;
  }
}

/**
 * Into a place in which nothing is yet: one pass, and nothing to compare with.
 * @param bare directories that are sent without what is in them
 */
export async function sendAll(
  context: TransferContext,
  { sparse }: WalkPlan,
  bare: readonly string[],
  workDirectory: string,
): Promise<WalkEnd> {
  const first = await sendSparse(context, sparse, false, workDirectory);
  context.log.step('sending everything');
  // What is there by now must not be written into under a second name.
  const end = await walkEverything(context, sparse.length === 0, workDirectory);
  return { ...end, ...together([first, end, await sendBare(context, bare, workDirectory)]) };
}

/** Both passes of a full walk: large files in place, then everything. */
export async function walkAll(
  context: TransferContext,
  walk: WalkPlan,
  { touched, bare }: { touched: readonly string[]; bare: readonly string[] },
  workDirectory: string,
): Promise<WalkEnd> {
  const { log } = context;
  const missing = await missingOf(context, walk.sparse);
  const ends: PassesEnd[] = [await sendSparse(context, missing, false, workDirectory)];
  for (const { path, files, blockSizeBytes } of walk.large) {
    log.step(`sending ${files} large files in place`);
    ends.push(await transfer(context, { kind: 'inPlace', listFile: path, blockSizeBytes }, workDirectory));
  }
  if (touched.length > 0) {
    // rsync's look at size and time alone would miss a file that was rewritten and given its old time again.
    log.step(`comparing ${touched.length} files by checksum`);
    const listFile = await writeList(join(workDirectory, 'touched'), namesOf(touched));
    ends.push(await transfer(context, { kind: 'list', listFile, checksum: true }, workDirectory));
  }
  log.step('sending everything else');
  const end = await walkEverything(context, false, workDirectory);
  ends.push(end, await sendBare(context, bare, workDirectory));
  return { ...end, ...together(ends) };
}

/** Sends directories of which nothing is known but themselves. The rules hide them from every other pass. */
export async function sendBare(
  context: TransferContext,
  bare: readonly string[],
  directory: string,
): Promise<PassesEnd> {
  if (bare.length === 0) return together([]);
  const listFile = await writeList(join(directory, 'bare'), namesOf(bare));
  const rulesFile = await writeList(join(directory, 'no-rules'), []);
  return await transfer({ ...context, rulesFile }, { kind: 'list', listFile }, directory);
}
