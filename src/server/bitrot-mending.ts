import { buffer, text } from 'node:stream/consumers';
import * as v from 'valibot';
import { reasonOf } from '../errors.ts';
import { escapeName, unescapeName } from '../protocol/file-name.ts';
import { type ClientName, type SnapshotName, snapshotNameAt } from '../protocol/names.ts';
import { findUser } from '../system/accounts.ts';
import type { Clock } from '../system/clock.ts';
import { logSecurityEvent } from '../system/system-log.ts';
import { changeBitrot, type Damage, damagedFiles, placesInWords, readBitrot } from './bitrot.ts';
import { recordEvent } from './events.ts';
import { type LookAnswer, LookAnswerSchema, type LookTask } from './sandbox/inside/look.ts';
import { type JailedProgram, noJail, startInJail, whyNoJail } from './sandbox/jail.ts';
import { type JailedTask, jailedProgramArgv } from './sandbox/jailed.ts';
import { listSnapshotNames, type Store } from './store.ts';

/** No record names more. */
const mostMended = 1000;

/** What a run that is being opened mends. */
export interface Mending {
  /** Names that were removed from `current`, escaped: this run sends them. */
  readonly paths: readonly string[];
  /** Something may be missing in `current` now: the run must walk everything, or its snapshot lacks it, too. */
  readonly mustWalk: boolean;
}

/**
 * Removes from `current` what is damaged there, so that a run that walks everything finds it missing and sends it. Called
 * under the client's lock when such a run is opened. Never throws: a backup is worth more than the mending of an older
 * one, which the next run tries again; but that it failed is an event.
 */
export async function dropDamaged(store: Store, clock: Clock, client: ClientName, userName: string): Promise<Mending> {
  try {
    const { damaged } = await readBitrot(store);
    const paths = damaged
      .filter((damage) => damage.client === client && damage.current === 'damaged' && damage.path.startsWith('/'))
      .map(({ path }) => path)
      .slice(0, mostMended);
    if (paths.length === 0) return { paths, mustWalk: false };
    const left = new Set(await dropFrom(store.fsDir(client), paths, userName));
    if (left.size > 0) await say(store, clock, client, notDropped, `the disk gives no more of ${[...left][0]}`);
    return { paths: paths.filter((path) => !left.has(path)), mustWalk: true };
  } catch (error) {
    await say(store, clock, client, notDropped, reasonOf(error));
    // It may have ended in the middle.
    return { paths: [], mustWalk: true };
  }
}

const notDropped = 'damaged files could not be removed from its newest state, and are not sent again';

async function say(store: Store, clock: Clock, client: ClientName, what: string, why: string): Promise<void> {
  await recordEvent(store, {
    at: clock.now().toISOString(),
    kind: 'bitrot',
    client,
    what,
    why: escapeName(why.slice(0, 1000)),
  });
  await logSecurityEvent(`bitrot: ${client}: ${what}: ${escapeName(why.slice(0, 1000))}`);
}

/** Removes names below a directory. Gives those that could not be removed. */
async function dropFrom(directory: string, paths: readonly string[], userName: string): Promise<string[]> {
  const list = Buffer.concat(paths.flatMap((path) => [unescapeName(path).subarray(1), Buffer.from([0])]));
  const answer = await askInJail({ directory, access: 'write', task: 'drop', userName, timeoutMs: 300_000 }, list);
  return v.parse(v.object({ left: v.array(v.string()) }), answer).left.map((path) => `/${path}`);
}

/** Has the program in the jail answer, as the user that receives. */
async function askInJail(
  question: Pick<JailedProgram, 'directory' | 'access' | 'timeoutMs'> & { task: JailedTask; userName: string },
  request: Buffer,
): Promise<unknown> {
  const { task, userName, ...options } = question;
  const account = await findUser(userName);
  if (account === undefined) throw new Error(`there is no user ${userName}`);
  const program = await startInJail({
    ...options,
    argv: jailedProgramArgv(task),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    account: { uid: account.uid, gid: account.gid },
  });
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(request);
  const [stdout, stderr, { exitCode }] = await Promise.all([
    program.stdout === null ? Buffer.alloc(0) : buffer(program.stdout),
    program.stderr === null ? '' : text(program.stderr),
    program.ended,
  ]);
  if (exitCode !== 0) throw noJail(whyNoJail(stderr) ?? `the program in it exited ${exitCode}`);
  return JSON.parse(stdout.toString('utf8'));
}

/** What a run that is complete says of damage. */
export interface CompletedRun {
  readonly client: ClientName;
  readonly snapshot: SnapshotName;
  /** Names that were removed from `current` when it was opened, escaped. */
  readonly mending: readonly string[];
  /** The user that receives. */
  readonly userName: string;
}

/**
 * After any run is complete: what was damaged in the client's newest state is so still, or is whole, or gone. Every run is
 * looked at: one of single sources may have sent a file anew, because it was touched or compared by checksum. So what is
 * `damaged` in the newest state is damaged in each snapshot since the scrub, and nothing else is. Never throws.
 */
export async function recordMended(store: Store, clock: Clock, run: CompletedRun): Promise<void> {
  const { client, snapshot } = run;
  try {
    const { damaged, scrubbedAt } = await readBitrot(store);
    const its = damaged.filter((damage) => damage.client === client && damage.current === 'damaged');
    if (its.length === 0) return;
    const since = snapshotNameAt(scrubbedAt === null ? clock.now() : new Date(scrubbedAt));
    const existing = await listSnapshotNames(store, client);
    const taken = existing.filter((name) => name === snapshot || (name >= since && name < snapshot)).toReversed();
    await record(store, clock, run, existing, await lookAt(store, run, its, taken));
  } catch (error) {
    await say(store, clock, client, 'it is not known whether damaged files were sent again', reasonOf(error));
  }
}

/** What stands at the places of damaged files in some snapshots, by path. */
async function lookAt(
  store: Store,
  { client, snapshot, mending, userName }: CompletedRun,
  its: readonly Damage[],
  taken: readonly SnapshotName[],
): Promise<Map<string, LookAnswer['files'][number]>> {
  const mended = new Set(mending);
  const tree = (name: SnapshotName) => `snapshots/${name}`;
  const files = its.map(({ path, snapshots }) => {
    const damagedIn = snapshots.findLast((name) => name < snapshot);
    return {
      path,
      ...(damagedIn === undefined ? {} : { damagedIn: tree(damagedIn) }),
      ...(mended.has(path) ? { sentIn: tree(snapshot) } : {}),
    };
  });
  const task: LookTask = { trees: taken.map(tree), files };
  const directory = store.clientDir(client);
  const question = { directory, access: 'read', task: 'look', userName, timeoutMs: 300_000 } as const;
  const answer = v.parse(LookAnswerSchema, await askInJail(question, Buffer.from(JSON.stringify(task))));
  return new Map(files.map(({ path }, at) => [path, answer.files[at] ?? {}]));
}

async function record(
  store: Store,
  clock: Clock,
  { client, snapshot }: CompletedRun,
  existing: readonly SnapshotName[],
  found: ReadonlyMap<string, LookAnswer['files'][number]>,
): Promise<void> {
  const now = clock.now().toISOString();
  const after = await changeBitrot(store, clock, (bitrot) => {
    const since = bitrot.scrubbedAt === null ? undefined : snapshotNameAt(new Date(bitrot.scrubbedAt));
    const learn = (damage: Damage): Damage => {
      const states = damage.client === client ? found.get(damage.path) : undefined;
      if (states === undefined || damage.current !== 'damaged') return damage;
      // Where nothing could be told it is taken to be as it was.
      const isDamaged = (name: SnapshotName) => {
        const state = states[`snapshots/${name}`];
        if (state !== undefined) return state === 'damaged';
        return damage.snapshots.includes(name) || (since !== undefined && name >= since && name <= snapshot);
      };
      const snapshots = existing.filter(isDamaged);
      const newest = states[`snapshots/${snapshot}`];
      if (newest === 'whole') return { ...damage, snapshots, current: 'sent again', mendedAt: now };
      return { ...damage, snapshots, current: newest === 'missing' ? 'whole' : 'damaged' };
    };
    return { ...bitrot, damaged: bitrot.damaged.map(learn) };
  });
  const its = after.damaged.filter((damage) => damage.client === client && damage.mendedAt === now);
  if (its.length === 0) return;
  const left = its.filter(({ snapshots }) => snapshots.length > 0);
  const names = left.slice(0, 5).map(({ path, snapshots }) => `${path} in ${placesInWords(snapshots)}`);
  await recordEvent(store, {
    at: now,
    kind: 'bitrot',
    client,
    what: `${damagedFiles(its.length)} ${its.length === 1 ? 'was' : 'were'} sent again`,
    ...(left.length === 0
      ? {}
      : { why: `still damaged: ${names.join(', ')}${left.length > 5 ? ', …' : ''}`.slice(0, 1900) }),
  });
}
