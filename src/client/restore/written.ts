import { closeSync, constants, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createXXHash128, type IHasher } from 'hash-wasm';
import { reasonOf } from '../../errors.ts';
import type { PullItem } from '../../system/rsync-pull-told.ts';

/** Small files are read at once; a thousand of them a second would be slow one promise after the other. */
const atOnceBytes = 1024 * 1024;
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Files that rsync has written, read again and compared with the checksums that the server sent. */
export interface WrittenFiles {
  /** A file that has come over. It is still being put in its place: the one before it is not, and is looked at now. */
  take(item: PullItem): Promise<void> | void;
  /** Looks at the last one, when rsync has ended. @param isCut then it may not be there; it comes once more. */
  finish(isCut: boolean): Promise<void>;
  /** Files that are as they were sent, and their bytes: rsync counts twice what it had to bring twice. */
  readonly files: number;
  readonly bytes: number;
}

/** @param tell is told of each file why it is not as it should be, or nothing. */
export async function writtenFiles(
  directory: string,
  tell: (name: Buffer, why: string | undefined) => void,
): Promise<WrittenFiles> {
  // One is enough: files are looked at one after the other.
  const hasher = await createXXHash128();
  const top = Buffer.from(directory.endsWith('/') ? directory : `${directory}/`);
  const buffer = Buffer.allocUnsafe(atOnceBytes + 1);
  let waiting: Sent | undefined;
  let [files, bytes] = [0, 0];
  const judge = (item: Sent, found: string, isCut = false) => {
    if (found === item.digest) {
      files += 1;
      bytes += item.sizeBytes;
      tell(item.name, undefined);
    } else if (!isCut) tell(item.name, 'it differs from the snapshot: content');
  };
  const look = (item: Sent, isCut = false): Promise<void> | void => {
    const path = Buffer.concat([top, item.name]);
    try {
      const small = item.sizeBytes <= atOnceBytes ? digestOfSmall(path, item.sizeBytes, buffer, hasher) : undefined;
      if (small !== undefined) return judge(item, small, isCut);
    } catch (error) {
      if (!isCut) tell(item.name, `it cannot be read after the restore: ${reasonOf(error)}`);
      return;
    }
    return digestOf(path, hasher).then(
      (found) => judge(item, found, isCut),
      (error: unknown) => {
        if (!isCut) tell(item.name, `it cannot be read after the restore: ${reasonOf(error)}`);
      },
    );
  };
  return {
    get files() {
      return files;
    },
    get bytes() {
      return bytes;
    },
    take(item) {
      if (!item.content || !isSent(item)) return;
      const before = waiting;
      waiting = item;
      return before === undefined ? undefined : look(before);
    },
    async finish(isCut) {
      const last = waiting;
      waiting = undefined;
      if (last !== undefined) await look(last, isCut);
    },
  };
}

/** What came with a digest. */
type Sent = PullItem & { readonly digest: string };

function isSent(item: PullItem): item is Sent {
  return item.digest !== undefined;
}

/** Digest of a small file; undefined for what is larger than the buffer, whatever it was said to be. */
function digestOfSmall(path: Buffer, sizeBytes: number, buffer: Buffer, hasher: IHasher): string | undefined {
  const file = openSync(path, flags);
  try {
    // A read that gives less than it was asked for was at the end: as a rule the first one.
    let length = readSync(file, buffer, 0, sizeBytes + 1, 0);
    if (length !== sizeBytes) {
      for (let read = -1; read !== 0 && length < buffer.length; length += read)
        read = readSync(file, buffer, length, buffer.length - length, length);
    }
    if (length > atOnceBytes) return undefined;
    return hasher.init().update(buffer.subarray(0, length)).digest();
  } finally {
    closeSync(file);
  }
}

async function digestOf(path: Buffer, hasher: IHasher): Promise<string> {
  const file: FileHandle = await open(path, flags);
  hasher.init();
  for await (const chunk of file.createReadStream({ highWaterMark: 1024 * 1024 })) hasher.update(chunk as Buffer);
  return hasher.digest();
}
