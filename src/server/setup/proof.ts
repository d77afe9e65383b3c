import { randomBytes } from 'node:crypto';
import { readFile, rmdir, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { serverPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import {
  CompleteReplySchema,
  FailureSchema,
  PrepareReplySchema,
  protocolVersion,
  RegisterReplySchema,
} from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import { findUser, type UserAccount } from '../../system/accounts.ts';
import { isReadOnlySubvolume } from '../../system/btrfs.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { ProgramError, run } from '../../system/run.ts';
import { version } from '../../version.ts';
import { findClient, readRegistry, withoutEntries, writeRegistry } from '../registry.ts';
import { withRegistryLock } from '../registry-lock.ts';
import { proveSandbox } from '../sandbox/prove.ts';
import { openStore, type Store } from '../store.ts';
import { removeThrowAwayClient, throwAwayName } from '../throw-away-client.ts';
import { proveLogin, withProofKey } from './proof-login.ts';
import { stepLine } from './step.ts';

/** What a proof works with. */
interface Proof {
  readonly store: Store;
  readonly client: ClientName;
  readonly account: UserAccount;
}

function failed(what: string, why: string, fix: string): BytebackError {
  return new BytebackError('refused', { what: `the proof failed: ${what}`, why, fix });
}

const helpers = {
  snapshot: `${serverPaths.libDir}/byteback-snapshot`,
  register: `${serverPaths.libDir}/byteback-register`,
};

/** Calls a root helper as the user does: by sudo, with one request. */
async function callHelper<const Schema extends v.GenericSchema>(
  { account }: Proof,
  helper: string,
  request: unknown,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const accept = Array.from({ length: 256 }, (_, code) => code);
  const { stdout, stderr } = await run(['sudo', '-n', helper], {
    input: JSON.stringify(request),
    account,
    accept,
    cwd: '/',
  });
  let reply: unknown;
  try {
    reply = JSON.parse(stdout.toString('utf8'));
  } catch {
    // No reply at all: sudo refused, and says why on its standard error.
    throw failed(
      `${account.name} cannot start ${helper} by sudo`,
      stderr.trim() || 'it answered nothing',
      stderr.includes('account')
        ? `the account may have expired or be locked: chage -l ${account.name}`
        : 'check that /etc/sudoers ends with: @includedir /etc/sudoers.d (visudo changes it)',
    );
  }
  const result = v.safeParse(schema, reply);
  if (result.success) return result.output;
  const failure = v.safeParse(FailureSchema, reply);
  if (!failure.success)
    throw failed(`${helper} answered nonsense`, JSON.stringify(reply).slice(0, 200), 'report this as a bug');
  const { what, why, fix } = failure.output;
  throw failed(what, why ?? 'it gave no reason', fix ?? 'correct it, and run byteback-setup-server again');
}

/** True when the user can do something that it must not be able to. */
async function succeedsAs(account: UserAccount, argv: readonly [string, ...string[]]): Promise<boolean> {
  try {
    await run(argv, { account, input: '', cwd: '/' });
    return true;
  } catch (error) {
    if (error instanceof ProgramError && error.exitCodeOfProgram !== undefined) return false;
    throw error;
  }
}

/** Nothing that leads to a snapshot can be renamed by the user: he can make no name there, nor change who may. */
async function proveOwnership({ store, client, account }: Proof): Promise<void> {
  const way: string[] = [];
  for (let at = dirname(store.root); ; at = dirname(at)) {
    way.push(at);
    if (at === '/') break;
  }
  const own = [
    store.root,
    store.clientsDir,
    store.clientDir(client),
    store.snapshotsDir(client),
    store.currentDir(client),
  ];
  for (const directory of [...own, ...way]) {
    const name = join(directory, `.byteback-proof-${randomBytes(6).toString('hex')}`);
    for (const argv of [
      ['mkdir', '--', name],
      ['chmod', `--reference=${directory}`, '--', directory],
    ] as const) {
      if (!(await succeedsAs(account, argv))) continue;
      await rmdir(name).catch(() => undefined);
      throw failed(
        `${account.name} can take the history away`,
        `it could: ${argv.join(' ')}`,
        `give it to root: chown root: ${directory}; chmod 0755 ${directory}`,
      );
    }
  }
}

/** The helpers answer, and nothing else can be run by sudo: no other program, no argument. */
async function proveSudo(proof: Proof): Promise<void> {
  const request = { verb: 'register', name: proof.client, publicKey: 'no key' };
  const reply = await callHelper(proof, helpers.register, request, FailureSchema);
  if (reply.exit !== 'refused')
    throw failed('byteback-register does not check keys', `it answered: ${reply.what}`, 'report this as a bug');
  const store = proof.store.root;
  for (const [options, argv] of [
    [[], ['/usr/bin/true']],
    [[], [helpers.snapshot, '--help']],
    [[], [helpers.register, 'x']],
    // Only asked for, not run: what the original byteback was allowed, wherever its rule may stand.
    ...['create', 'delete'].map((verb) => [['-l'], ['/sbin/btrfs', 'subvolume', verb, `${store}/x/current`]] as const),
    [['-l'], ['/usr/bin/byteback-snapshot']],
    [['-l'], ['/usr/local/bin/byteback-snapshot']],
  ] as const) {
    if (!(await succeedsAs(proof.account, ['sudo', '-n', ...options, '--', ...argv]))) continue;
    throw failed(
      `${proof.account.name} may run more than the two helpers by sudo`,
      `it may run: ${argv.join(' ')}`,
      'look for the rule that allows it: grep -rn . /etc/sudoers /etc/sudoers.d',
    );
  }
}

async function prove(step: string, log: Log, action: () => Promise<void>): Promise<void> {
  await action();
  log.step(stepLine('', `${step}: ok`));
}

/** A whole run: a file in `current`, a snapshot of it, and the snapshot is out of the user's reach. */
async function proveSnapshot(proof: Proof): Promise<void> {
  const { client, store, account } = proof;
  const call = <const Schema extends v.GenericSchema>(request: object, schema: Schema) =>
    callHelper(proof, helpers.snapshot, { client, ...request }, schema);
  const machineId = randomBytes(32).toString('hex');
  const prepare = { protocol: protocolVersion, version, machineId, expectedBytes: 0, files: 1 };
  const { run: id } = await call({ verb: 'prepare', request: prepare }, PrepareReplySchema);
  const content = randomBytes(16).toString('hex');
  await run(['tee', '--', `${store.fsDir(client)}/proof`], { account, input: content, cwd: '/' });
  await call({ verb: 'event', run: id, exitCode: 0, failure: null }, v.object({ ok: v.literal(true) }));
  const none = { durationMs: 0, wireBytes: 0, sentBytes: 0, sentFiles: 1, files: 1, totalBytes: 0, retries: 0 };
  const complete = { run: id, status: 'ok', unread: [], figures: none };
  const { snapshot } = await call({ verb: 'complete', request: complete }, CompleteReplySchema);
  const directory = store.snapshotDir(client, snapshot);
  const kept = await readFile(`${store.snapshotFsDir(client, snapshot)}/proof`, 'utf8');
  if (kept !== content)
    throw failed('the snapshot does not hold what was sent', 'its file differs', 'report this as a bug');
  if (!(await isReadOnlySubvolume(directory)))
    throw failed('the snapshot is not read-only', directory, 'report this as a bug');
  const forbidden: readonly [string, ...string[]][] = [
    ['tee', '--', `${store.snapshotFsDir(client, snapshot)}/new`],
    ['btrfs', 'property', 'set', '-ts', directory, 'ro', 'false'],
    ['btrfs', 'subvolume', 'delete', '--', directory],
    ['mv', '--', directory, `${store.fsDir(client)}/moved`],
  ];
  for (const argv of forbidden) {
    if (!(await succeedsAs(account, argv))) continue;
    throw failed(
      `${account.name} can change a snapshot`,
      `it could: ${argv.join(' ')}`,
      `check the options of the mount: findmnt ${store.root}`,
    );
  }
}

/** The helper registers the client, as it does for one that logs in. */
async function proveRegistration(proof: Proof, publicKey: string): Promise<void> {
  await callHelper(proof, helpers.register, { verb: 'register', name: proof.client, publicKey }, RegisterReplySchema);
}

/** Takes everything of the client away: its key first, so that nobody logs in to what is being deleted. */
async function forget({ store, client }: Proof, clock: Clock): Promise<void> {
  const path = serverPaths.authorizedKeys;
  await withRegistryLock(path, clock, async () => {
    const registry = await readRegistry(path);
    if (findClient(registry, client) === undefined) return;
    await writeRegistry(
      path,
      withoutEntries(registry, ({ role, name }) => role === 'client' && name === client),
    );
  });
  await removeThrowAwayClient(store, client);
}

interface Times {
  readonly content: string;
  readonly atime: Date;
  readonly mtime: Date;
}

async function timesOfRegistry(): Promise<Times> {
  const { atime, mtime } = await stat(serverPaths.authorizedKeys);
  return { content: await readFile(serverPaths.authorizedKeys, 'utf8'), atime, mtime };
}

/** The file says again what it said before: whoever watches its time must not think that a key was changed. */
async function restoreTimes({ content, atime, mtime }: Times): Promise<void> {
  if ((await readFile(serverPaths.authorizedKeys, 'utf8')) === content)
    await utimes(serverPaths.authorizedKeys, atime, mtime);
}

/**
 * Tries everything that was set up, as the user itself: sudo, a registration, a log-in where an sshd runs, the jail, a
 * snapshot, and its deletion. All of it with a client that is made for it and deleted again, whatever happens.
 * @param deps attack: also by everything in selfAttacks; each refusal of it is an event that the admin is told of.
 * @throws BytebackError that names what failed, and what to do.
 */
export async function proveServer(
  server: { readonly store: string; readonly user: string },
  { log, clock, attack = false }: { log: Log; clock: Clock; attack?: boolean },
): Promise<void> {
  const account = await findUser(server.user);
  if (account === undefined) throw new Error('the user was made just now');
  const store = await openStore(server);
  const proof: Proof = { store, client: throwAwayName('setup-proof'), account };
  // What a proof left that was cut off.
  await forget(proof, clock);
  const before = await timesOfRegistry();
  try {
    await withProofKey(async (key) => {
      await prove('sudo starts the two helpers, and nothing else', log, () => proveSudo(proof));
      await prove('a client is registered', log, () => proveRegistration(proof, key.publicKey));
      const loggedIn = await proveLogin(account.name, proof.client, key, { clock, attack });
      log.step(
        stepLine('', loggedIn ? 'it logs in by ssh, and gets no shell: ok' : 'no sshd runs here: log-in not tried'),
      );
    });
    await prove('the sandbox holds', log, async () => {
      for (const access of ['write', 'read'] as const) {
        const hidden = [store.root, serverPaths.configDir];
        await proveSandbox({ directory: store.fsDir(proof.client), access, hidden, account });
      }
    });
    await prove("the settings are root's alone", log, async () => {
      if (await succeedsAs(account, ['cat', '--', serverPaths.serverToml]))
        throw failed(
          `${account.name} can read ${serverPaths.serverToml}`,
          'addresses of pings and web hooks in it are secrets',
          `chown root: ${serverPaths.serverToml}; chmod 0600 ${serverPaths.serverToml}`,
        );
    });
    await prove('nobody but root can move what is in the store', log, () => proveOwnership(proof));
    await prove('a snapshot is taken, and nobody but root can change it', log, () => proveSnapshot(proof));
  } finally {
    await forget(proof, clock);
    await restoreTimes(before);
  }
  log.step(stepLine('', 'all of it is deleted again'));
}
