import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { reasonOf } from '../../errors.ts';
import type { Session } from '../session.ts';
import type { Target } from './target.ts';
import { askForDigests } from './tree-list.ts';
import { type Lacking, placeOf } from './what-came.ts';

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** So many are asked for at once. */
const atOnce = 20_000;

/**
 * Compares files with those of the snapshot: both sides read them.
 * @param names latin1
 * @param equal is told of each that is equal
 */
export async function compareContent(
  names: readonly string[],
  { snapshot, directory }: Target,
  file: string,
  session: Session,
  equal: (name: string) => void,
): Promise<Lacking[]> {
  const lacking: Lacking[] = [];
  for (let at = 0; at < names.length; at += atOnce) {
    const some = names.slice(at, at + atOnce);
    const digests = await askForDigests(snapshot, some, file, session);
    for (const name of some) {
      session.signal.throwIfAborted();
      const why = await differenceOf(placeOf(directory, name), digests.get(name));
      if (why === undefined) equal(name);
      else lacking.push({ name, ...why });
    }
  }
  return lacking;
}

async function differenceOf(
  path: Buffer,
  wanted: string | null | undefined,
): Promise<Pick<Lacking, 'why' | 'again'> | undefined> {
  if (wanted === null || wanted === undefined) return { why: 'the server: its disk does not give it', again: false };
  try {
    const hash = createHash('sha256');
    const file = await open(path, flags);
    for await (const chunk of file.createReadStream({ highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
    if (hash.digest('hex') === wanted) return undefined;
  } catch (error) {
    return { why: `it cannot be read after the restore: ${reasonOf(error)}`, again: true };
  }
  return { why: 'it differs from the snapshot: content', again: true };
}
