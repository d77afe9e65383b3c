import { text } from 'node:stream/consumers';
import * as v from 'valibot';
import { BytebackError } from '../errors.ts';
import { unescapeName } from '../protocol/file-name.ts';
import {
  ChangesReplySchema,
  type ChangesRequest,
  type FindRequest,
  maxMessageBytes,
  type SnapshotEntry,
  type Version,
  VersionSchema,
} from '../protocol/messages.ts';
import type { ClientName, SnapshotName } from '../protocol/names.ts';
import type { RunningProgram } from '../system/run.ts';
import { type Drawn, DrawnSchema } from './runs/drill.ts';
import { readRecord } from './runs/record.ts';
import { isPlainRelative } from './sandbox/inside/separate.ts';
import { noJail, startInJail, whyNoJail } from './sandbox/jail.ts';
import { type JailedTask, jailedProgramArgv } from './sandbox/jailed.ts';
import { listSnapshotNames, type Store } from './store.ts';

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
export async function listVersions(store: Store, client: ClientName, paths: readonly string[]): Promise<Version[]> {
  for (const path of paths) requirePlainPath(path);
  const snapshots = await listSnapshotNames(store, client);
  if (snapshots.length === 0) return [];
  const reply = await askInJail(store, client, 'versions', { snapshots, paths });
  return v.parse(v.object({ versions: v.array(VersionSchema) }), reply).versions;
}

/**
 * What matches some patterns in one snapshot: the program in the jail writes it to our standard output, line by line, so
 * that nothing here grows with it.
 * @returns false when that took too long and was ended.
 */
export async function writeMatches(store: Store, client: ClientName, request: FindRequest): Promise<boolean> {
  await requireSnapshots(store, client, [request.snapshot]);
  const program = await startLookUp(store, client, 'find', request, 'inherit');
  const stderr = program.stderr === null ? '' : await text(program.stderr);
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

/** Files of the newest snapshot by lot, with their checksums, drawn and read in the jail. */
export async function drawFiles(store: Store, client: ClientName): Promise<Drawn> {
  const snapshot = (await listSnapshotNames(store, client)).at(-1);
  if (snapshot === undefined) {
    throw new BytebackError('usage', {
      what: 'there is nothing to compare',
      why: 'no snapshot of this machine exists yet',
      fix: 'make one: byteback-backup --verbose',
    });
  }
  const reply = await askInJail(store, client, 'pick', { snapshot, ...drill });
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
  task: JailedTask,
  request: unknown,
  stdout: 'pipe' | 'inherit',
): Promise<RunningProgram> {
  const program = await startInJail({
    directory: store.snapshotsDir(client),
    access: 'read',
    argv: jailedProgramArgv(task),
    stdin: 'pipe',
    stdout,
    stderr: 'pipe',
    timeoutMs: lookUpTimeoutMs,
  });
  // When it ends early the pipe breaks; why it ended is told below.
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(JSON.stringify(request));
  return program;
}

function lookUpFailed(stderr: string, why: string): BytebackError {
  const jail = whyNoJail(stderr);
  return jail === undefined
    ? new BytebackError('bug', { what: 'the snapshots could not be looked through', why })
    : noJail(jail);
}

/** Runs one look-up to its end and gives its answer. */
async function askInJail(store: Store, client: ClientName, task: JailedTask, request: unknown): Promise<unknown> {
  const program = await startLookUp(store, client, task, request, 'pipe');
  const [stdout, stderr, { exitCode, timedOut }] = await Promise.all([
    program.stdout === null ? Buffer.alloc(0) : atMost(program.stdout, () => program.kill('SIGKILL')),
    program.stderr === null ? '' : text(program.stderr),
    program.ended,
  ]);
  if (stdout === undefined) {
    throw new BytebackError('usage', {
      what: 'there are more versions than fit into one answer',
      why: `the answer would be larger than ${maxMessageBytes} bytes`,
      fix: 'ask for fewer paths at once',
    });
  }
  if (timedOut || exitCode !== 0)
    throw lookUpFailed(stderr, timedOut ? 'it took too long' : `the program in the sandbox exited ${exitCode}`);
  return JSON.parse(stdout.toString('utf8'));
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

/** All that a stream gives, or undefined when that is more than a message may be. */
async function atMost(stream: NodeJS.ReadableStream, onTooMuch: () => void): Promise<Buffer | undefined> {
  let bytes = 0;
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxMessageBytes) {
      onTooMuch();
      return undefined;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
