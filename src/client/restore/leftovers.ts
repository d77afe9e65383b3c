import { type BigIntStats, lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import type { Log } from '../../system/log.ts';
import { partialDirectory } from '../../system/rsync-pull.ts';
import type { TreeList } from './tree-list.ts';
import { placeOf } from './what-came.ts';

/** What a restore that was cut may have left beside the files that it was writing. */
export interface SweepOptions {
  readonly directory: string;
  /** When the restore began, on this machine's clock: what is older is not its own. */
  readonly begunMs: number;
  readonly uid: number;
}

/** A name for the time being, as rsync makes it; of a long name it has only the beginning. */
const temporaryName = /^\.(.+)\.[A-Za-z0-9]{6}$/s;
/** From this length on a name may have been cut. */
const cutLength = 240;

/**
 * The name that rsync was writing under a name for the time being; undefined for any other name.
 * @param listed whether the snapshot has a name in that directory; what it has is never a leftover.
 */
export function writtenFor(name: string, listed: ReadonlySet<string>): string | undefined {
  if (listed.has(name)) return undefined;
  const begin = temporaryName.exec(name)?.[1];
  if (begin === undefined) return undefined;
  const whole = [begin, `.${begin}`].find((one) => listed.has(one));
  if (whole !== undefined || name.length < cutLength) return whole;
  return [...listed].find((one) => one.startsWith(begin) || one.startsWith(`.${begin}`));
}

/** Removes what rsync was writing when it was killed, where the snapshot has no such name. */
export async function sweepLeftovers(list: TreeList, options: SweepOptions, log: Log): Promise<void> {
  const byDirectory = new Map<string, Set<string>>();
  for await (const entries of list.entries()) {
    for (const { name, type } of entries) {
      if (type === 'directory' && !byDirectory.has(name)) byDirectory.set(name, new Set());
      if (name === '') continue;
      const slash = name.lastIndexOf('/');
      const directory = slash < 0 ? '' : name.slice(0, slash);
      const known = byDirectory.get(directory);
      if (known === undefined) byDirectory.set(directory, new Set([name.slice(slash + 1)]));
      else known.add(name.slice(slash + 1));
    }
  }
  for (const [directory, listed] of byDirectory) sweep(directory, listed, options, log);
}

function sweep(directory: string, listed: ReadonlySet<string>, options: SweepOptions, log: Log): void {
  const place = (name: string) => placeOf(options.directory, directory === '' ? name : `${directory}/${name}`);
  for (const name of namesIn(placeOf(options.directory, directory))) {
    if (name === partialDirectory && !listed.has(name)) {
      for (const partial of namesIn(place(name))) {
        if (listed.has(partial) && isOwn(place(`${name}/${partial}`), options)) unlinkSync(place(`${name}/${partial}`));
      }
      if (namesIn(place(name)).length === 0) rmdirSync(place(name));
      continue;
    }
    if (writtenFor(name, listed) === undefined || !isOwn(place(name), options)) continue;
    unlinkSync(place(name));
    log.info(`removed what a restore that was cut had left: ${place(name).toString('latin1')}`);
  }
}

function namesIn(path: Buffer): string[] {
  try {
    // Not through a link.
    if (!lstatSync(path).isDirectory()) return [];
    return readdirSync(path, { encoding: 'latin1' });
  } catch {
    return [];
  }
}

/** Made by this restore: not older than it; and no other user may look into a file that rsync has not finished. */
function isOwn(path: Buffer, { begunMs, uid }: SweepOptions): boolean {
  let stat: BigIntStats;
  try {
    stat = lstatSync(path, { bigint: true });
  } catch {
    return false;
  }
  if (stat.isDirectory() || Number(stat.ctimeMs) < begunMs - 1000) return false;
  // Another name of a file, a link, a pipe: made under such a name, and then renamed.
  if (!stat.isFile() || stat.nlink > 1n) return true;
  return Number(stat.uid) === uid && (stat.mode & 0o077n) === 0n;
}
