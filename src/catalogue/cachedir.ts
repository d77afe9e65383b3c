import { open } from 'node:fs/promises';

/** The first bytes of a valid CACHEDIR.TAG (bford.info/cachedir). */
const signature = Buffer.from('Signature: 8a477f597d28d172789f06886806bc55');

/** True when the file starts with the signature of a cache directory; false for whatever else, unreadable files included. */
export async function isCacheTag(path: Buffer): Promise<boolean> {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(signature.length), 0, signature.length, 0);
      return bytesRead === signature.length && buffer.equals(signature);
    } finally {
      await file.close();
    }
  } catch {
    // A tag that cannot be read tags nothing: rather a directory too much than one too few.
    return false;
  }
}
