import type { Readable } from 'node:stream';
import type * as v from 'valibot';
import { serverPaths } from '../../config/paths.ts';
import type { ServerConfig } from '../../config/server-config.ts';
import { BytebackError } from '../../errors.ts';
import { parseCommand, type WireCommand } from '../../protocol/command.ts';
import {
  ChangesRequestSchema,
  CompleteRequestSchema,
  EndedRequestSchema,
  type Failure,
  FindRequestSchema,
  MachineRequestSchema,
  OutcomeRequestSchema,
  onTheWire,
  ProofRequestSchema,
  protocolVersion,
  RedeemRequestSchema,
  RegisterRequestSchema,
  VersionsRequestSchema,
} from '../../protocol/messages.ts';
import { type ClientName, parseClientName, type RunId } from '../../protocol/names.ts';
import type { Refusal as Unparsed } from '../../protocol/rsync-options.ts';
import { tryLock } from '../../system/lock.ts';
import { rsyncVersion } from '../../system/rsync-version.ts';
import { authorise } from '../authorise.ts';
import { failureOf, readRequest, withinTime } from '../helper-request.ts';
import { listChanges, listSnapshots, listVersions, writeMatches } from '../listing.ts';
import { Refusal } from '../refusal.ts';
import { readRegistry } from '../registry.ts';
import { readMachineText } from '../runs/machine.ts';
import { outcomeOf } from '../runs/outcome.ts';
import { lockedError } from '../runs/prepare.ts';
import { readRecord } from '../runs/record.ts';
import { type Store, storeAt } from '../store.ts';
import { explainStoreTrouble } from '../store-trouble.ts';
import { type Caller, readLogin, whoIs } from './identify.ts';
import { type Refused, refuse } from './refuse.ts';
import { askRoot } from './root-helper.ts';
import { serveRun } from './serve-run.ts';
import { requireFewSessions, sessionTitle } from './session-limit.ts';
import { loadReceiveConfig } from './settings.ts';
import { reading } from './tell-reading.ts';
import {
  check,
  listCurrent,
  lookThrough,
  restore,
  type Session,
  type SessionEnd,
  transfer,
  workInPlace,
} from './transfer.ts';

/** One session as sshd starts it. */
export interface ReceiveCall {
  /** Only SSH_ORIGINAL_COMMAND, SSH_CONNECTION and SSH_USER_AUTH are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly writeOut: (text: string) => void;
  readonly writeError: (line: string) => void;
  readonly version: string;
  /** How many the client has open, this one included; unset where nobody counts. */
  readonly sessions?: number;
  /** Fails when the client may not, or no longer, complete a run in the session in which it opened it. */
  readonly mayComplete?: () => Promise<void>;
}

/** With more sessions than a run has, root's helper is not started before its request is there: each takes memory. */
const mostAhead = 4;

/** Serves one session: who is it, what does it ask, may it. Gives the exit code; never throws. */
export async function receive(call: ReceiveCall): Promise<number> {
  const text = call.env['SSH_ORIGINAL_COMMAND'];
  // Those whose stdout is rsync's or a list's: a reason there would be taken for data.
  const moves = /^(?:transfer|check|restore|tree|digests|separate|replay|list|rsync)(?: |$)/.test(text ?? '');
  const who: Refused = { connection: call.env['SSH_CONNECTION'] };
  try {
    return await serve(parseCommand(text), call, who);
  } catch (error) {
    return refuse(await explained(error), { ...call, moves }, who);
  }
}

/** With what the store's disk has to do with it. */
async function explained(error: unknown): Promise<unknown> {
  if (error instanceof BytebackError && error.exit !== 'bug') return error;
  const config = await loadReceiveConfig().catch(() => undefined);
  return config === undefined ? error : explainStoreTrouble(error, config.store);
}

/** What root may ask on the server itself: to look, and to bring back. */
const localVerbs: readonly string[] = [
  ...['ping', 'snapshots', 'versions', 'find', 'changes', 'machine'],
  ...['restore', 'tree', 'digests'],
];

/**
 * Serves one session of root on the server itself, for one client: reads, and nothing else. Who the caller is was told by
 * the kernel: this runs as the user that receives, who may read all of this anyway.
 */
export async function receiveLocally(name: string, call: ReceiveCall): Promise<number> {
  const text = call.env['SSH_ORIGINAL_COMMAND'];
  const who: Refused = { connection: undefined };
  try {
    const client = parseClientName(name);
    const command = parseCommand(text);
    if (client === undefined || !('verb' in command) || !localVerbs.includes(command.verb)) {
      throw new BytebackError('refused', { what: 'the command is refused', why: 'only reading is done from here' });
    }
    return await serveClient(command, client, await loadReceiveConfig(), call, who);
  } catch (error) {
    return refuse(error, { ...call, moves: /^(?:restore|list|digests) /.test(text ?? '') }, who);
  }
}

async function serve(asked: WireCommand | Unparsed, call: ReceiveCall, who: Refused): Promise<number> {
  const address = who.connection?.split(' ')[0];
  // Its answer is there by the time that the rest is known.
  if ('rsync' in asked) rsyncVersion().catch(() => undefined);
  const login = readLogin(call.env['SSH_USER_AUTH']);
  const caller = await callerNow(login);
  if (caller.role !== 'client') {
    const command = authorise({ caller, address, now: new Date(), command: asked, policy: undefined });
    return serveStranger(command, caller, call);
  }
  const client = caller.name;
  who.client = client;
  if ('run' in asked) who.run = asked.run;
  // Before anything is checked: what is refused counts as well.
  process.title = sessionTitle(client, 'verb' in asked ? asked.verb : 'refused');
  const sessions = requireFewSessions(client);
  const config = await loadReceiveConfig();
  const policy = config.policyOf(client);
  const command = authorise({ caller, address, now: new Date(), command: asked, policy });
  // A key may have been revoked, a window closed and the configuration changed since the session began.
  const mayComplete = async () => {
    const [callerThen, configThen] = await Promise.all([callerNow(login), loadReceiveConfig()]);
    const command = { verb: 'complete' } as const;
    if (callerThen.role !== 'client' || callerThen.name !== client) {
      throw new Refusal(
        'key',
        { what: 'complete is refused', why: `the key is no longer that of ${client}` },
        { told: false },
      );
    }
    authorise({ caller: callerThen, address, now: new Date(), command, policy: configThen.policyOf(client) });
  };
  return serveClient(command, client, config, { ...call, sessions, mayComplete }, who);
}

async function callerNow(login: ReturnType<typeof readLogin>): Promise<Caller> {
  const [known, registry] = await Promise.all([login, readRegistry(serverPaths.authorizedKeys)]);
  return whoIs(known, registry);
}

/** Those who are no client yet: one verb each. */
async function serveStranger(
  command: WireCommand,
  caller: Exclude<Caller, { role: 'client' }>,
  call: ReceiveCall,
): Promise<number> {
  if (caller.role === 'invite') {
    const { publicKey } = await requestOf(call, RedeemRequestSchema);
    return relay(call, 'register', { verb: 'redeem', inviteBlob: caller.blob, publicKey });
  }
  if (command.verb !== 'register') throw new Error('authorise() lets nothing else pass');
  const { name, publicKey } = await requestOf(call, RegisterRequestSchema);
  return relay(call, 'register', { verb: 'register', name, publicKey });
}

async function serveClient(
  command: WireCommand,
  client: ClientName,
  config: ServerConfig,
  call: ReceiveCall,
  who: Refused,
): Promise<number> {
  const store = storeAt(config.store);
  const ahead = call.sessions !== undefined && call.sessions <= mostAhead;
  const session: Session = { client, store, idleTimeoutMs: config.idleTimeoutMs, ahead, say: call.writeError };
  switch (command.verb) {
    case 'ping':
      return reply(call, { ok: true, protocol: protocolVersion, version: call.version, client, takesEnds: true });
    case 'prepare':
      return serveRun(client, call, ahead);
    case 'complete':
      return relay(call, 'snapshot', {
        verb: 'complete',
        client,
        request: await requestOf(call, CompleteRequestSchema),
      });
    case 'ended':
      return relay(call, 'snapshot', { verb: 'ended', client, request: await requestOf(call, EndedRequestSchema) });
    case 'outcome': {
      const { run } = await requestOf(call, OutcomeRequestSchema);
      const failure = await whyRefused(store, client, run);
      return reply(call, { ok: true, failure: failure === null ? null : onTheWire(failure) });
    }
    case 'snapshots':
      return reply(call, { ok: true, snapshots: await listSnapshots(store, client), lists: true });
    case 'versions': {
      const { paths } = await requestOf(call, VersionsRequestSchema);
      const found = await listVersions(store, client, paths);
      return reply(call, { ok: true, ...found, lists: true });
    }
    case 'find': {
      const request = await requestOf(call, FindRequestSchema);
      let whole = false;
      try {
        whole = await reading(store, client, [request.snapshot], () => writeMatches(store, client, request));
      } finally {
        // The last line of what the program in the jail wrote may be cut.
        if (!whole) call.writeOut('\n');
      }
      return whole ? 0 : reply(call, { ok: true, cut: true });
    }
    case 'changes': {
      const request = await requestOf(call, ChangesRequestSchema);
      const both = [request.from, request.to];
      return reply(call, {
        ok: true,
        ...(await reading(store, client, both, () => listChanges(store, client, request))),
      });
    }
    case 'machine': {
      const { snapshot } = await requestOf(call, MachineRequestSchema);
      const machine = await readMachineText(store.snapshotMachineFile(client, snapshot));
      return reply(call, { ok: true, machine: machine ?? null });
    }
    case 'drill':
      return relay(call, 'snapshot', { verb: 'drill', client });
    case 'proof':
      return relay(call, 'snapshot', { verb: 'proof', client, request: await requestOf(call, ProofRequestSchema) });
    case 'transfer':
      return finish(await transfer(session, command.run, command.rsync), call, who);
    case 'check':
      return finish(await check(session, command.rsync), call, who);
    case 'separate':
    case 'replay':
      return finish(await workInPlace(session, command.run, command.verb), call, who);
    case 'list':
      return finish(await listCurrent(session, command.run, command.scope), call, who);
    case 'restore':
      return finish(await restore(session, command.snapshot, command.rsync), call, who);
    case 'tree':
    case 'digests':
      return finish(await lookThrough(session, command.snapshot, command.verb), call, who);
    case 'register':
    case 'redeem':
      throw new Error('authorise() lets no client do it');
  }
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

async function finish({ exitCode, failure }: SessionEnd, call: ReceiveCall, who: Refused): Promise<number> {
  return failure === undefined ? Math.min(255, exitCode) : refuse(failure, { ...call, moves: true }, who);
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

function requestOf<const Schema extends v.GenericSchema>(
  { stdin }: ReceiveCall,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  return withinTime(stdin, () => readRequest(stdin, schema));
}
