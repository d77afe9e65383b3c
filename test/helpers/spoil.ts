import { open } from 'node:fs/promises';
import { must } from './command.ts';

/** Where the first byte of a stored file lies on the image. */
async function placeOnImage(file: string): Promise<number> {
  await must(['sync']);
  const extents = (await must(['filefrag', '-v', file])).stdout;
  const logical = Number(/^\s+0:\s+\d+\.\.\s*\d+:\s+(\d+)\.\./m.exec(extents)?.[1]) * 4096;
  const device = (await must(['findmnt', '--noheadings', '--output', 'SOURCE', '/byteback'])).stdout.trim();
  const chunks = (await must(['btrfs', 'inspect-internal', 'dump-tree', '-t', 'chunk', device])).stdout;
  for (const [, start, length, offset] of chunks.matchAll(
    /CHUNK_ITEM (\d+)\)[\s\S]*?\n\s+length (\d+) [\s\S]*?stripe 0 devid 1 offset (\d+)/g,
  )) {
    const from = Number(start);
    if (from <= logical && logical < from + Number(length)) return Number(offset) + logical - from;
  }
  throw new Error(`nothing at ${logical}`);
}

/** Writes over some bytes of each, and makes the kernel forget what it had read. */
export async function spoil(imageFile: string, ...files: string[]): Promise<void> {
  const image = await open(imageFile, 'r+');
  for (const file of files)
    await image.write(Buffer.from('these bytes are wrong'), 0, 21, (await placeOnImage(file)) + 100);
  await image.sync();
  await image.close();
  await must(['umount', '/byteback']);
  await must(['mount', '/byteback']);
}
