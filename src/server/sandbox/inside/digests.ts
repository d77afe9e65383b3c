import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { digestRecord, digestsEnd } from '../../../protocol/digests.ts';
import { isPlainRelative, splitAtNul } from './separate.ts';

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The SHA-256 of some files of one snapshot, a record each, in the order in which they were asked for; none where the disk does not
 * give it.
 * @param request names relative to the directory, each ended by NUL.
 */
export async function* digestsInside(request: Buffer): AsyncGenerator<Buffer> {
  let count = 0;
  for (const name of splitAtNul(request)) {
    count += 1;
    const digest = isPlainRelative(name) ? await digestOf(Buffer.from(name)) : undefined;
    yield Buffer.from(digestRecord(Buffer.from(name).toString('latin1'), digest), 'latin1');
  }
  yield Buffer.from(digestsEnd(count), 'latin1');
}

async function digestOf(name: Buffer): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    const file = await open(name, flags);
    for await (const chunk of file.createReadStream({ highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  } catch {
    return undefined;
  }
  return hash.digest('hex');
}
