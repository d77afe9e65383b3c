/** Trees from a seed: the same seed makes the same names, sizes and contents. */
import { appendFile, mkdir, open, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { randomFrom } from '../../test/helpers/random-edits.ts';

/** Seconds since 1970 of the oldest file. */
const epoch = 1_700_000_000;
const filesPerDirectory = 100;
/** Files are made so many at a time. */
const atOnce = 32;

/** The path of the file with a number, relative to its tree. */
export function nameOf(file: number): string {
  const directory = Math.floor(file / filesPerDirectory);
  return `d${Math.floor(directory / 100)}/d${directory % 100}/file-${file}`;
}

/** Bytes that compress about as well as text and programs do: half of each block is random, half is repeated. */
export function content(random: () => number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(sizeBytes / 4));
  for (let at = 0; at < words.length; at += 1) words[at] = at % 2 === 0 ? random() * 0xffffffff : at & 0xff;
  return bytes;
}

/** Many small files, sizes as they are in /usr and /home: most of a few KB, on average about 9 KB. */
export async function makeFiles(tree: string, files: number, seed: number, meanBytes = 9000): Promise<void> {
  const random = randomFrom(seed);
  const made = new Set<string>();
  const waiting: Promise<void>[] = [];
  for (let file = 0; file < files; file += 1) {
    const path = `${tree}/${nameOf(file)}`;
    const directory = path.slice(0, path.lastIndexOf('/'));
    if (!made.has(directory)) await mkdir(directory, { recursive: true });
    made.add(directory);
    const sizeBytes = Math.floor(-Math.log(1 - random()) * meanBytes);
    const bytes = content(random, sizeBytes);
    const time = epoch + Math.floor(random() * 10_000_000);
    waiting.push(writeFile(path, bytes).then(() => utimes(path, time, time)));
    if (waiting.length >= atOnce) await Promise.all(waiting.splice(0));
  }
  await Promise.all(waiting);
}

/** Changes a share of a tree of `makeFiles`: half written anew, a quarter appended to, an eighth renamed, the rest deleted and replaced. */
export async function changeFiles(tree: string, files: number, share: number, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const count = Math.round(files * share);
  for (let change = 0; change < count; change += 1) {
    const path = `${tree}/${nameOf(Math.floor(random() * files))}`;
    const kind = change % 8;
    const bytes = content(random, Math.floor(random() * 18_000));
    if (kind < 4) await writeFile(path, bytes);
    else if (kind < 6) await appendFile(path, bytes);
    else if (kind === 6) await rename(path, `${path}.renamed-${seed}`).catch(() => writeFile(path, bytes));
    else {
      await rm(path, { force: true });
      await writeFile(`${path}.new-${seed}`, bytes);
    }
  }
}

/** One large file of half-compressible content. */
export async function makeLarge(path: string, sizeBytes: number, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const file = await open(path, 'w');
  const piece = 1024 * 1024;
  for (let at = 0; at < sizeBytes; at += piece) await file.write(content(random, Math.min(piece, sizeBytes - at)));
  await file.close();
}

/** Writes a share of the 4 KiB blocks of a file anew, scattered over all of it. */
export async function changeBlocks(path: string, share: number, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const file = await open(path, 'r+');
  const blockBytes = 4096;
  const blocks = Math.floor((await file.stat()).size / blockBytes);
  for (let change = 0; change < blocks * share; change += 1) {
    const at = Math.floor(random() * blocks) * blockBytes;
    await file.write(content(random, blockBytes), 0, blockBytes, at);
  }
  await file.close();
}
