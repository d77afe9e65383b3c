import { unescapeName } from '../protocol/file-name.ts';
import type { Version } from '../protocol/messages.ts';
import type { SnapshotName } from '../protocol/names.ts';
import { getfattrArgv, parseGetfattr, recordsIn } from './sandbox/inside/fake-stat.ts';
import { describeWithoutTarget, type StoredStat } from './sandbox/inside/versions.ts';

/** Runs a program in the jail, over all snapshots, with names on its standard input; gives what it printed. */
export type RunInJail = (argv: readonly [string, ...string[]], names: Buffer) => Promise<Buffer>;

/** xargs ends with 123 when some names are not there, and with 127 where getfattr is not installed. */
export const acceptedOfXargs: readonly number[] = [0, 123, 127];

const statArgv = ['xargs', '--null', '--', 'stat', '--printf=%f %u %g %s %.9Y\\0%n\\0', '--'] as const;

/**
 * Looks up each path in each snapshot, oldest first; what is not there is left out. By stat(1) and getfattr(1) in the jail,
 * both at once: a program of our own there would take longer to start than they take for all of it.
 * @returns versions without the targets of links.
 */
export async function lookUpPaths(
  snapshots: readonly SnapshotName[],
  paths: readonly string[],
  runInJail: RunInJail,
): Promise<Version[]> {
  const wanted = paths.flatMap((path) =>
    snapshots.map((snapshot) => ({
      snapshot,
      path,
      place: Buffer.concat([Buffer.from(`./${snapshot}/fs`), unescapeName(path)]),
    })),
  );
  const names = Buffer.concat(wanted.flatMap(({ place }) => [place, Buffer.from([0])]));
  const [stats, records] = await Promise.all([runInJail(statArgv, names), runInJail(getfattrArgv, names)]);
  const statOf = parseStats(stats.toString('latin1'));
  const recorded = recordsIn(
    parseGetfattr(records.toString('latin1')),
    wanted.map(({ place }) => place),
  );
  return wanted.flatMap(({ snapshot, path, place }, at) => {
    const stat = statOf.get(place.toString('latin1'));
    return stat === undefined ? [] : [{ snapshot, path, ...describeWithoutTarget(stat, recorded[at]) }];
  });
}

/** By name (bytes as latin1), out of what stat printed. */
export function parseStats(printed: string): Map<string, StoredStat> {
  const stats = new Map<string, StoredStat>();
  const parts = printed.split('\0');
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [, mode, uid, gid, size, sign, seconds, nanoseconds] =
      /^([0-9a-f]+) (\d+) (\d+) (\d+) (-?)(\d+)\.(\d{9})$/.exec(parts[at] ?? '') ?? [];
    if (seconds === undefined || mode === undefined) continue;
    const mtimeNs = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds ?? 0);
    stats.set(parts[at + 1] ?? '', {
      mode: BigInt(`0x${mode}`),
      uid: BigInt(uid ?? 0),
      gid: BigInt(gid ?? 0),
      size: BigInt(size ?? 0),
      mtimeNs: sign === '-' ? -mtimeNs : mtimeNs,
    });
  }
  return stats;
}
