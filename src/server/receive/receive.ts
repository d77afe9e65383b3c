import type { Readable } from 'node:stream';
import * as v from 'valibot';
import { serverPaths } from '../../config/paths.ts';
import { loadServerConfig, type Right, type ServerConfig } from '../../config/server-config.ts';
import { BytebackError, exitCodes } from '../../errors.ts';
import { parseCommand, type WireCommand } from '../../protocol/command.ts';
import {
  ChangesRequestSchema,
  CompleteRequestSchema,
  type Failure,
  FindRequestSchema,
  MachineRequestSchema,
  OutcomeRequestSchema,
  PrepareRequestSchema,
  ProofRequestSchema,
  protocolVersion,
  RedeemRequestSchema,
  RegisterRequestSchema,
  transferRefusedExitCode,
  VersionsRequestSchema,
} from '../../protocol/messages.ts';
import type { ClientName, RunId } from '../../protocol/names.ts';
import { isRefusal } from '../../protocol/rsync-options.ts';
import { tryLock } from '../../system/lock.ts';
import { failureOf, readRequest } from '../helper-request.ts';
import { drawFiles, findInSnapshot, listChanges, listSnapshots, listVersions } from '../listing.ts';
import { readRegistry } from '../registry.ts';
import { readMachineText } from '../runs/machine.ts';
import { outcomeOf } from '../runs/outcome.ts';
import { lockedError } from '../runs/prepare.ts';
import { readRecord } from '../runs/record.ts';
import { type Store, storeAt } from '../store.ts';
import { type Caller, readLogin, requireAddress, whoIs } from './identify.ts';
import { askRoot } from './root-helper.ts';
import { requireFewSessions, sessionTitle } from './session-limit.ts';
import { restore, type Session, type SessionEnd, transfer, workInPlace } from './transfer.ts';

/** One session as sshd starts it. */
export interface ReceiveCall {
  /** Only SSH_ORIGINAL_COMMAND, SSH_CONNECTION and SSH_USER_AUTH are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly writeOut: (text: string) => void;
  readonly writeError: (line: string) => void;
  readonly version: string;
}

/** A client that asks for something and then sends no request is not waited for longer. */
const requestTimeoutMs = 60_000;

/** Serves one session: who is it, what does it ask, may it. Gives the exit code; never throws. */
export async function receive(call: ReceiveCall): Promise<number> {
  const text = call.env['SSH_ORIGINAL_COMMAND'];
  // Those whose stdout is rsync's or a list's: a reason there would be taken for data.
  const moves = /^(?:transfer|restore|separate|replay|rsync)(?: |$)/.test(text ?? '');
  try {
    const command = parseCommand(text);
    if (isRefusal(command)) {
      throw new BytebackError('refused', {
        what: 'the command is refused',
        why: command.refusal,
        fix: 'this account only talks to byteback: use byteback-backup or byteback-restore',
      });
    }
    return await serve(command, call);
  } catch (error) {
    return refuse(error, moves, call);
  }
}

function refuse(error: unknown, moves: boolean, { writeOut, writeError }: ReceiveCall): number {
  const failure = failureOf(error);
  writeError(`byteback: ${failure.what}${failure.why === undefined ? '' : `: ${failure.why}`}`);
  if (moves) return transferRefusedExitCode;
  writeOut(`${JSON.stringify(failure)}\n`);
  return exitCodes[failure.exit];
}

async function serve(command: WireCommand, call: ReceiveCall): Promise<number> {
  const [login, registry] = await Promise.all([
    readLogin(call.env['SSH_USER_AUTH']),
    readRegistry(serverPaths.authorizedKeys),
  ]);
  const caller = whoIs(login, registry);
  if (caller.role !== 'client') return serveStranger(command, caller, call);
  const config = await loadServerConfig();
  const policy = config.policyOf(caller.name);
  requireAddress(policy, call.env['SSH_CONNECTION']);
  const right = rightFor(command);
  if (right !== undefined && !policy.allow.includes(right)) {
    throw new BytebackError('refused', {
      what: `${command.verb} is not allowed for ${caller.name}`,
      why: `its "allow" in server.toml on the server does not hold ${right}`,
    });
  }
  process.title = sessionTitle(caller.name, command.verb);
  requireFewSessions(caller.name);
  return serveClient(command, caller.name, config, call);
}

/** What the admin must have allowed for a command; nothing for the harmless, or for what is never a client's. */
function rightFor({ verb }: WireCommand): Right | undefined {
  switch (verb) {
    case 'prepare':
    case 'complete':
    case 'restore':
    case 'transfer':
      return verb;
    case 'separate':
    case 'replay':
    case 'outcome':
      return 'transfer';
    case 'snapshots':
    case 'versions':
    case 'find':
    case 'changes':
    case 'machine':
    case 'drill':
    case 'proof':
      return 'restore';
    default:
      return undefined;
  }
}

function notForThisKey(verb: string, role: string): BytebackError {
  return new BytebackError('refused', {
    what: `${verb} is refused`,
    why: role,
    fix: 'this account only talks to byteback: use byteback-setup-client, byteback-backup or byteback-restore',
  });
}

/** Those who are no client yet: one verb each. */
async function serveStranger(
  command: WireCommand,
  caller: Exclude<Caller, { role: 'client' }>,
  call: ReceiveCall,
): Promise<number> {
  if (caller.role === 'invite') {
    if (command.verb !== 'redeem') throw notForThisKey(command.verb, 'an invite can only be redeemed');
    const { publicKey } = await requestOf(call, RedeemRequestSchema);
    return relay(call, 'register', { verb: 'redeem', inviteBlob: caller.blob, publicKey });
  }
  if (command.verb !== 'register') {
    throw notForThisKey(
      command.verb,
      caller.role === 'admin' ? 'this key may only register' : 'a password may only register',
    );
  }
  const { name, publicKey } = await requestOf(call, RegisterRequestSchema);
  return relay(call, 'register', { verb: 'register', name, publicKey });
}

async function serveClient(
  command: WireCommand,
  client: ClientName,
  config: ServerConfig,
  call: ReceiveCall,
): Promise<number> {
  const store = storeAt(config.store);
  const session: Session = { client, store, idleTimeoutMs: config.idleTimeoutMs, say: call.writeError };
  switch (command.verb) {
    case 'ping':
      return reply(call, { ok: true, protocol: protocolVersion, version: call.version, client });
    case 'prepare':
      return relay(call, 'snapshot', { verb: 'prepare', client, request: await requestOf(call, PrepareRequestSchema) });
    case 'complete':
      return relay(call, 'snapshot', {
        verb: 'complete',
        client,
        request: await requestOf(call, CompleteRequestSchema),
      });
    case 'outcome': {
      const { run } = await requestOf(call, OutcomeRequestSchema);
      return reply(call, { ok: true, failure: await whyRefused(store, client, run) });
    }
    case 'snapshots':
      return reply(call, { ok: true, snapshots: await listSnapshots(store, client) });
    case 'versions': {
      const { paths } = await requestOf(call, VersionsRequestSchema);
      const snapshots = await listSnapshots(store, client);
      return reply(call, { ok: true, snapshots, versions: await listVersions(store, client, paths) });
    }
    case 'find':
      return reply(call, {
        ok: true,
        ...(await findInSnapshot(store, client, await requestOf(call, FindRequestSchema))),
      });
    case 'changes':
      return reply(call, {
        ok: true,
        ...(await listChanges(store, client, await requestOf(call, ChangesRequestSchema))),
      });
    case 'machine': {
      const { snapshot } = await requestOf(call, MachineRequestSchema);
      const machine = await readMachineText(store.snapshotMachineFile(client, snapshot));
      return reply(call, { ok: true, machine: machine ?? null });
    }
    case 'drill':
      return drill(store, client, call);
    case 'proof':
      return relay(call, 'snapshot', { verb: 'proof', client, request: await requestOf(call, ProofRequestSchema) });
    case 'transfer':
      return finish(await transfer(session, command.run, command.rsync), call);
    case 'separate':
    case 'replay':
      return finish(await workInPlace(session, command.run, command.verb), call);
    case 'restore':
      return finish(await restore(session, command.snapshot, command.rsync), call);
    case 'register':
    case 'redeem':
      throw notForThisKey(command.verb, `this is the key of the client ${client}`);
  }
}

/** Draws files of the newest snapshot; root remembers their checksums, and the client gets only their names. */
async function drill(store: Store, client: ClientName, call: ReceiveCall): Promise<number> {
  const drawn = await drawFiles(store, client);
  const answer = await askRoot('snapshot', { verb: 'drill', client, drawn });
  const opened = v.safeParse(v.object({ ok: v.literal(true), drill: v.string() }), JSON.parse(answer.json));
  if (!opened.success) {
    call.writeOut(`${answer.json}\n`);
    return answer.exitCode;
  }
  const files = drawn.files.map(({ path, sizeBytes, mtime }) => ({ path, sizeBytes, mtime }));
  return reply(call, { ok: true, drill: opened.output.drill, snapshot: drawn.snapshot, files });
}

/** What the record says; besides, a session that still holds the lock may be why the last one was refused. */
async function whyRefused(store: Store, client: ClientName, run: RunId): Promise<Failure | null> {
  const failure = outcomeOf(await readRecord(store.runFile(client)), run);
  if (failure !== null) return failure;
  const lock = await tryLock(store.lockFile(client));
  if (lock === undefined) return failureOf(lockedError(client));
  await lock.release();
  return null;
}

function finish({ exitCode, failure }: SessionEnd, call: ReceiveCall): number {
  return failure === undefined ? Math.min(255, exitCode) : refuse(failure, true, call);
}

function reply({ writeOut }: ReceiveCall, value: unknown): number {
  writeOut(`${JSON.stringify(value)}\n`);
  return 0;
}

async function relay({ writeOut }: ReceiveCall, helper: 'snapshot' | 'register', request: unknown): Promise<number> {
  const { json, exitCode } = await askRoot(helper, request);
  writeOut(`${json}\n`);
  return exitCode;
}

async function requestOf<const Schema extends v.GenericSchema>(
  { stdin }: ReceiveCall,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const timer = setTimeout(() => {
    stdin.destroy(
      new BytebackError('refused', { what: 'no request came', why: `within ${requestTimeoutMs / 1000} seconds` }),
    );
  }, requestTimeoutMs);
  try {
    return await readRequest(stdin, schema);
  } finally {
    clearTimeout(timer);
  }
}
