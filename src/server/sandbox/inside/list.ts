import { type BigIntStats, lstatSync, readdirSync } from 'node:fs';
import { formatStored } from '../../../protocol/stored.ts';
import { isMissing } from '../../../system/files.ts';
import { isPlainRelative, splitAtNul } from './separate.ts';
import { decimalSeconds } from './versions.ts';

/** Written at once at most, in characters. */
const pieceLength = 256 * 1024;

/**
 * Tells what stands at some paths, as records (see protocol/stored.ts); nothing of what is not there. `.` is the directory
 * itself, and a slash at the end adds what lies directly in it.
 * @param list paths below the directory, as bytes, each ended by NUL
 */
export async function* listInside(list: Buffer): AsyncGenerator<Buffer> {
  let piece = '';
  for (const asked of splitAtNul(list)) {
    for (const path of pathsOf(asked)) {
      const stats = statOf(path);
      if (stats !== undefined) piece += `${recordOf(path.toString('latin1'), stats)}\0`;
    }
    if (piece.length < pieceLength) continue;
    yield Buffer.from(piece, 'latin1');
    piece = '';
  }
  yield Buffer.from(piece, 'latin1');
}

function* pathsOf(asked: Buffer): Generator<Buffer> {
  const withContents = asked.at(-1) === 0x2f;
  const path = withContents ? asked.subarray(0, -1) : asked;
  const isTop = path.length === 1 && path[0] === 0x2e;
  if (!isTop && !isPlainRelative(path)) return;
  yield path;
  if (!withContents || !statOf(path)?.isDirectory()) return;
  for (const name of readdirSync(path, { encoding: 'buffer' })) {
    yield isTop ? name : Buffer.concat([path, Buffer.from('/'), name]);
  }
}

function statOf(path: Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function recordOf(path: string, stats: BigIntStats): string {
  return formatStored({
    path: path === '.' ? '/' : `/${path}`,
    type: stats.isDirectory() ? 'd' : stats.isFile() ? 'f' : 'o',
    sizeBytes: Number(stats.size),
    mtime: `${decimalSeconds(stats.mtimeNs)}0`,
    inode: String(stats.ino),
    links: Number(stats.nlink),
  });
}
