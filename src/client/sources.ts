import { constants } from 'node:fs';
import { access, lstat, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { KeptPlace } from '../catalogue/kept.ts';
import { BytebackError, reasonOf } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import { isMissing } from '../system/files.ts';
import { lookAtEncrypted } from '../system/fscrypt.ts';
import { findSilent } from '../system/silent-paths.ts';
import { mountPointOf } from './mounts.ts';

/** A source that cannot be looked at now: the server keeps what it has of it. */
export interface AwaySource extends KeptPlace {
  /** What is mounted there is stuck, or has lost its disk, server or program: nobody should look at it. */
  readonly isStuck: boolean;
}

/** The sources of a run as they really lie on the disk: absolute, without links on the way, as byte strings (latin1). */
export interface ResolvedSources {
  /** Those that are away included. */
  readonly paths: readonly string[];
  readonly away: readonly AwaySource[];
  /** What a person should know of them. */
  readonly notes: readonly string[];
}

/** What a path becomes, or why it is away. */
interface Resolved {
  readonly paths: readonly string[];
  readonly notes: readonly string[];
  readonly away?: AwaySource;
}

/** What a look at something mounted ends with when its disk, server or program is gone. */
const stuckCodes: ReadonlySet<string | undefined> = new Set(['ENOTCONN', 'ESTALE', 'EIO', 'ETIMEDOUT', 'EHOSTDOWN']);

/**
 * Checks and resolves the sources. rsync walks from the root and does not follow links, so that a link on the way to a
 * source is replaced by what it points to; a source that is itself a link is copied, and what it points to as well.
 * One that cannot be read, or does not answer, is away: it keeps no other from being copied.
 * @throws BytebackError (usage) when one does not exist, or none can be read: nothing was sent or deleted then.
 */
export async function resolveSources(sources: readonly string[], workingDirectory: string): Promise<ResolvedSources> {
  const absolute = sources.map((source) => resolve(workingDirectory, source));
  const silent = new Set(await findSilent(absolute.map(toByteString)));
  const found: Resolved[] = [];
  for (const source of absolute) {
    const isSilent = silent.has(toByteString(source));
    found.push(isSilent ? await silentSource(source) : await resolveSource(source));
  }
  const away = found.flatMap((one) => (one.away === undefined ? [] : [one.away]));
  const [first] = away;
  if (first !== undefined && away.length === found.length) {
    throw new BytebackError('usage', {
      what: `source ${showPath(first.path)} cannot be read`,
      why: first.why,
      fix: first.isStuck
        ? 'mount it again, or have what shows it answer'
        : 'run byteback-backup as root, or let its user read it',
    });
  }
  const paths = [...new Set(found.flatMap((one) => one.paths))];
  return { paths, away, notes: found.flatMap(({ notes }) => notes) };
}

/** Nothing may look at it: what is mounted there is as far as its path can be resolved. */
async function silentSource(source: string): Promise<Resolved> {
  const mountPoint = mountPointOf(await readFile('/proc/self/mountinfo', 'latin1'), toByteString(source));
  const path = mountPoint === '/' ? toByteString(source) : mountPoint;
  const why = 'it does not answer';
  return { paths: [toByteString(source)], notes: [], away: { path, extent: 'whole', why, isStuck: true } };
}

async function resolveSource(absolute: string): Promise<Resolved> {
  const paths: string[] = [];
  const notes: string[] = [];
  let place = absolute;
  try {
    place = absolute === '/' ? '/' : join(await realpath(dirname(absolute)), basename(absolute));
    if (place !== absolute) notes.push(`${escapeName(absolute)} lies at ${escapeName(place)}`);
    const stats = await lstat(place);
    paths.push(toByteString(place));
    let target = stats;
    if (stats.isSymbolicLink()) {
      const leadsTo = await realpath(place);
      paths.push(toByteString(leadsTo));
      notes.push(`${escapeName(place)} is a link: ${escapeName(leadsTo)} is copied, too`);
      target = await lstat(leadsTo);
    }
    await access(place, target.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
    return { paths, notes };
  } catch (error) {
    const path = toByteString(place);
    const away = (why: string, isStuck: boolean): Resolved => ({
      paths: [...new Set([path, ...paths])],
      notes,
      away: { path: paths.at(-1) ?? path, extent: 'whole', why, isStuck },
    });
    if (!isMissing(error)) return away(reasonOf(error), stuckCodes.has((error as NodeJS.ErrnoException).code));
    if (await isInLocked(place)) return away('it lies in a directory that is encrypted (fscrypt) and locked', false);
    throw new BytebackError('usage', {
      what: `source ${escapeName(absolute)} does not exist`,
      why: 'nothing was sent, and nothing of it was deleted on the server',
      fix: 'mount or make it, or take it out of the sources',
    });
  }
}

/** Whether names are not to be found there because what they lie in shows others. */
async function isInLocked(path: string): Promise<boolean> {
  for (let at = dirname(path); ; at = dirname(at)) {
    const exists = await lstat(at).then(
      () => true,
      () => false,
    );
    if (!exists && at !== '/') continue;
    return (await lookAtEncrypted([toByteString(at)], '')).some(({ isLocked }) => isLocked);
  }
}

/** The bytes of a text as one character each. */
export function toByteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The escaped form of a byte string, for people. */
export function showPath(path: string): string {
  return escapeName(Buffer.from(path, 'latin1'));
}
