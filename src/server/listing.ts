import * as v from 'valibot';
import { BytebackError } from '../errors.ts';
import { unescapeName } from '../protocol/file-name.ts';
import {
  ChangesReplySchema,
  type ChangesRequest,
  type FindRequest,
  maxMessageBytes,
  type NamedSnapshot,
  type SnapshotEntry,
  type Version,
  VersionSchema,
} from '../protocol/messages.ts';
import type { ClientName, SnapshotName } from '../protocol/names.ts';
import type { RunningProgram } from '../system/run.ts';
import { acceptedOfXargs, lookUpPaths } from './path-versions.ts';
import { type Drawn, DrawnSchema } from './runs/drawn.ts';
import { readRecord } from './runs/record.ts';
import { isPlainRelative } from './sandbox/inside/separate.ts';
import { noJail, startInJail, whyNoJail } from './sandbox/jail.ts';
import { type JailedTask, jailedProgramArgv } from './sandbox/jailed.ts';
import { listSnapshotNames, type Store } from './store.ts';

/** The kernel takes no path of 4,096 bytes, and the snapshot comes before it. */
const longestInOneCall = 4000;

/** A look-up that takes longer is ended. */
const lookUpTimeoutMs = 300_000;

/** A client's snapshots, oldest first, each with what its run said of itself. */
export async function listSnapshots(store: Store, client: ClientName): Promise<SnapshotEntry[]> {
  const names = await listSnapshotNames(store, client);
  return Promise.all(
    names.map(async (snapshot) => {
      // A record that is damaged hides no snapshot.
      const record = await readRecord(store.snapshotRunFile(client, snapshot)).catch(() => undefined);
      return { snapshot, status: record?.status ?? 'unknown' } as const;
    }),
  );
}

/**
 * The versions of some paths in all snapshots of a client, looked up in the jail, because links that somebody planted
 * lead nowhere there.
 * @param paths absolute, escaped.
 */
export async function listVersions(
  store: Store,
  client: ClientName,
  paths: readonly string[],
): Promise<{ snapshots: NamedSnapshot[]; versions: Version[] }> {
  for (const path of paths) requirePlainPath(path);
  const snapshots = await listSnapshotNames(store, client);
  if (snapshots.length === 0) return { snapshots: [], versions: [] };
  // What has too long a path for one call of a program is looked for in steps.
  const isLong = (path: string) => unescapeName(path).length > longestInOneCall;
  const found = await lookUpPaths(
    snapshots,
    paths.filter((path) => !isLong(path)),
    async (argv, names) => {
      const program = await startLookUp(store, client, argv, names, 'pipe');
      return outputOf(program, acceptedOfXargs, mostListedBytes);
    },
  );
  // The target of a link is the content of a file: only a program in the jail may look at it.
  const links = new Set([
    ...found.filter(({ type }) => type === 'link').map(({ path }) => path),
    ...paths.filter(isLong),
  ]);
  const versions = found.filter(({ path }) => !links.has(path));
  if (links.size > 0) {
    const reply = await askInJail(store, client, 'versions', { snapshots, paths: [...links] });
    versions.push(...v.parse(v.object({ versions: v.array(VersionSchema) }), reply).versions);
    // Links came last; the answer is in the order of the snapshots, and in each in that of the paths that were asked for.
    const [bySnapshot, byPath] = [placesOf(snapshots), placesOf(paths)];
    const placeOf = ({ snapshot, path }: Version) => [bySnapshot.get(snapshot) ?? 0, byPath.get(path) ?? 0] as const;
    versions.sort((one, other) => {
      const [[aSnapshot, aPath], [bSnapshot, bPath]] = [placeOf(one), placeOf(other)];
      return aSnapshot - bSnapshot || aPath - bPath;
    });
  }
  if (Buffer.byteLength(JSON.stringify(versions)) > maxMessageBytes) throw tooMany();
  return { snapshots: snapshots.map((snapshot) => ({ snapshot })), versions };
}

function placesOf(names: readonly string[]): ReadonlyMap<string, number> {
  return new Map(names.map((name, place) => [name, place]));
}

/** What stat and getfattr may print of as many paths and snapshots as can be asked for at once. */
const mostListedBytes = 32 * maxMessageBytes;

/**
 * What matches some patterns in one snapshot: the program in the jail writes it to our standard output, line by line, so
 * that nothing here grows with it.
 * @returns false when that took too long and was ended.
 */
export async function writeMatches(store: Store, client: ClientName, request: FindRequest): Promise<boolean> {
  await requireSnapshots(store, client, [request.snapshot]);
  const input = JSON.stringify(request);
  const program = await startLookUp(store, client, jailedProgramArgv('find'), input, 'inherit');
  const stderr = await headOf(program.stderr);
  const { exitCode, timedOut } = await program.ended;
  if (!timedOut && exitCode !== 0) throw lookUpFailed(stderr, `the program in the sandbox exited ${exitCode}`);
  return !timedOut;
}

/** One page of what differs between two snapshots, found in the jail. */
export async function listChanges(store: Store, client: ClientName, request: ChangesRequest) {
  requirePlainPath(request.path);
  await requireSnapshots(store, client, [request.from, request.to]);
  const reply = await askInJail(store, client, 'changes', request);
  return v.parse(v.omit(ChangesReplySchema, ['ok']), reply);
}

/** How much a drill reads. */
const drill = { count: 50, maxBytes: 512 * 1024 * 1024 } as const;

/**
 * Files of the newest snapshot by lot, with their checksums, drawn and read in a jail that is root's: whoever is the user that receives
 * must not have a hand in what a client is proven by.
 */
export async function drawFiles(store: Store, client: ClientName): Promise<Drawn> {
  const snapshot = (await listSnapshotNames(store, client)).at(-1);
  if (snapshot === undefined) {
    throw new BytebackError('usage', {
      what: 'there is nothing to compare',
      why: 'no snapshot of this machine exists yet',
      fix: 'make one: byteback-backup --verbose',
    });
  }
  const reply = await askInJail(store, client, 'pick', { snapshot, ...drill }, { rootReads: true });
  return v.parse(DrawnSchema, { snapshot, files: v.parse(v.object({ files: v.array(v.unknown()) }), reply).files });
}

async function requireSnapshots(store: Store, client: ClientName, wanted: readonly SnapshotName[]): Promise<void> {
  const names = await listSnapshotNames(store, client);
  const missing = wanted.find((name) => !names.includes(name));
  if (missing !== undefined) throw new BytebackError('usage', { what: `there is no snapshot ${missing}` });
}

/** Starts one look-up over all snapshots of a client, read-only, in the jail. */
async function startLookUp(
  store: Store,
  client: ClientName,
  argv: readonly [string, ...string[]],
  input: string | Buffer,
  stdout: 'pipe' | 'inherit',
  { rootReads = false } = {},
): Promise<RunningProgram> {
  const program = await startInJail({
    directory: store.snapshotsDir(client),
    access: 'read',
    argv,
    stdin: 'pipe',
    stdout,
    stderr: 'pipe',
    timeoutMs: lookUpTimeoutMs,
    rootReads,
  });
  // When it ends early the pipe breaks; why it ended is told below.
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(input);
  return program;
}

function lookUpFailed(stderr: string, why: string): BytebackError {
  const jail = whyNoJail(stderr);
  return jail === undefined
    ? new BytebackError('bug', { what: 'the snapshots could not be looked through', why })
    : noJail(jail);
}

/** Runs one look-up to its end and gives its answer. */
async function askInJail(
  store: Store,
  client: ClientName,
  task: JailedTask,
  request: unknown,
  who: { readonly rootReads?: boolean } = {},
): Promise<unknown> {
  const program = await startLookUp(store, client, jailedProgramArgv(task), JSON.stringify(request), 'pipe', who);
  return JSON.parse((await outputOf(program, [0], maxMessageBytes)).toString('utf8'));
}

/** All that a program in the jail prints. */
async function outputOf(program: RunningProgram, accept: readonly number[], mostBytes: number): Promise<Buffer> {
  const [stdout, stderr, { exitCode, timedOut }] = await Promise.all([
    program.stdout === null ? Buffer.alloc(0) : atMost(program.stdout, mostBytes, () => program.kill('SIGKILL')),
    headOf(program.stderr),
    program.ended,
  ]);
  if (stdout === undefined) throw tooMany();
  if (timedOut || !accept.includes(exitCode))
    throw lookUpFailed(stderr, timedOut ? 'it took too long' : `the program in the sandbox exited ${exitCode}`);
  return stdout;
}

function tooMany(): BytebackError {
  return new BytebackError('usage', {
    what: 'there are more versions than fit into one answer',
    why: `the answer would be larger than ${maxMessageBytes} bytes`,
    fix: 'ask for fewer paths at once',
  });
}

function requirePlainPath(path: string): void {
  const bytes = unescapeName(path);
  if (bytes.length === 1 && bytes[0] === 0x2f) return;
  if (bytes[0] === 0x2f && !bytes.includes(0) && isPlainRelative(bytes.subarray(1))) return;
  throw new BytebackError('usage', {
    what: 'a path is refused',
    why: 'it must be absolute, and without . and .. and doubled slashes',
  });
}

/** All that a stream gives, or undefined when that is more than it may be. */
async function atMost(
  stream: NodeJS.ReadableStream,
  mostBytes: number,
  onTooMuch: () => void,
): Promise<Buffer | undefined> {
  let bytes = 0;
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > mostBytes) {
      onTooMuch();
      return undefined;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What a stream begins with; all of it is read, because stat and getfattr complain of each name that is not there. */
async function headOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let head = '';
  for await (const chunk of (stream ?? []) as AsyncIterable<Buffer>)
    if (head.length < 4096) head += chunk.toString('utf8');
  return head;
}
