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
import { noJail, startInJail, whyNoJail } from './sandbox/jail.ts';
import { jailedProgramArgv } from './sandbox/jailed.ts';
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
    if (left.size > 0) await sayNotDropped(store, clock, client, `the disk gives no more of ${[...left][0]}`);
    return { paths: paths.filter((path) => !left.has(path)), mustWalk: true };
  } catch (error) {
    await sayNotDropped(store, clock, client, reasonOf(error));
    // It may have ended in the middle.
    return { paths: [], mustWalk: true };
  }
}

async function sayNotDropped(store: Store, clock: Clock, client: ClientName, why: string): Promise<void> {
  const what = 'damaged files could not be removed from its newest state, and are not sent again';
  await recordEvent(store, {
    at: clock.now().toISOString(),
    kind: 'bitrot',
    client,
    what,
    why: escapeName(why.slice(0, 1000)),
  });
  await logSecurityEvent(`bitrot: ${client}: ${what}: ${escapeName(why.slice(0, 1000))}`);
}

/** Removes names below a directory, in the jail, as the user that receives. Gives those that could not be removed. */
async function dropFrom(directory: string, paths: readonly string[], userName: string): Promise<string[]> {
  const account = await findUser(userName);
  if (account === undefined) throw new Error(`there is no user ${userName}`);
  const program = await startInJail({
    directory,
    access: 'write',
    argv: jailedProgramArgv('drop'),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    timeoutMs: 300_000,
    account: { uid: account.uid, gid: account.gid },
  });
  program.stdin?.on('error', () => undefined);
  program.stdin?.end(Buffer.concat(paths.flatMap((path) => [unescapeName(path).subarray(1), Buffer.from([0])])));
  const [stdout, stderr, { exitCode }] = await Promise.all([
    program.stdout === null ? Buffer.alloc(0) : buffer(program.stdout),
    program.stderr === null ? '' : text(program.stderr),
    program.ended,
  ]);
  if (exitCode !== 0) throw noJail(whyNoJail(stderr) ?? `the program in it exited ${exitCode}`);
  const { left } = v.parse(v.object({ left: v.array(v.string()) }), JSON.parse(stdout.toString('utf8')));
  return left.map((path) => `/${path}`);
}

/** After a run that sent damaged files again is complete: what is known of them, and what stays damaged. */
export async function recordMended(
  store: Store,
  clock: Clock,
  client: ClientName,
  mended: readonly string[],
  snapshot: SnapshotName,
): Promise<void> {
  if (mended.length === 0) return;
  const now = clock.now().toISOString();
  const paths = new Set(mended);
  const existing = await listSnapshotNames(store, client);
  const after = await changeBitrot(store, clock, (bitrot) => {
    // Snapshots taken after the scrub and before this run hold what was damaged then.
    const since = snapshotNameAt(new Date(bitrot.scrubbedAt ?? now));
    const between = existing.filter((name) => name >= since && name < snapshot);
    const mend = (damage: Damage): Damage => {
      if (damage.client !== client) return damage;
      const isMended = damage.current === 'damaged' && paths.has(damage.path);
      const known = new Set([...damage.snapshots, ...(isMended ? between : [])]);
      const snapshots = existing.filter((name) => known.has(name));
      return isMended ? { ...damage, snapshots, current: 'sent again', mendedAt: now } : { ...damage, snapshots };
    };
    return { ...bitrot, damaged: bitrot.damaged.map(mend) };
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
