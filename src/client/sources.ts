import { constants } from 'node:fs';
import { access, lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BytebackError, reasonOf } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import { isMissing } from '../system/files.ts';

/** The sources of a run as they really lie on the disk: absolute, without links on the way, as byte strings (latin1). */
export interface ResolvedSources {
  readonly paths: readonly string[];
  /** What a person should know of them. */
  readonly notes: readonly string[];
}

/**
 * Checks and resolves the sources. rsync walks from the root and does not follow links, so that a link on the way to a
 * source is replaced by what it points to; a source that is itself a link is copied, and what it points to as well.
 * @throws BytebackError (usage) when one does not exist or cannot be read: nothing was sent or deleted then.
 */
export async function resolveSources(sources: readonly string[], workingDirectory: string): Promise<ResolvedSources> {
  const paths: string[] = [];
  const notes: string[] = [];
  for (const source of sources) {
    const absolute = resolve(workingDirectory, source);
    try {
      const place = absolute === '/' ? '/' : join(await realpath(dirname(absolute)), basename(absolute));
      const stats = await lstat(place);
      paths.push(toByteString(place));
      if (stats.isSymbolicLink()) {
        const target = await realpath(place);
        paths.push(toByteString(target));
        notes.push(`${escapeName(place)} is a link: ${escapeName(target)} is copied, too`);
      }
      if (place !== absolute) notes.push(`${escapeName(absolute)} lies at ${escapeName(place)}`);
      const target = await lstat(paths.at(-1) === toByteString(place) ? place : await realpath(place));
      await access(place, target.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
    } catch (error) {
      throw new BytebackError('usage', {
        what: `source ${escapeName(absolute)} ${isMissing(error) ? 'does not exist' : 'cannot be read'}`,
        why: isMissing(error) ? 'nothing was sent, and nothing of it was deleted on the server' : reasonOf(error),
        fix: isMissing(error)
          ? 'mount or make it, or take it out of the sources'
          : 'run byteback-backup as root, or let its user read it',
      });
    }
  }
  return { paths: [...new Set(paths)], notes };
}

/** The bytes of a text as one character each. */
export function toByteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The escaped form of a byte string, for people. */
export function showPath(path: string): string {
  return escapeName(Buffer.from(path, 'latin1'));
}
