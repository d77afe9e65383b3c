/**
 * The checksums of files, as `digests` writes them: one record for each name that was asked for, and a last one that says that
 * this is all. A record is two parts, each ended by NUL: SHA-256 in hexadecimal digits, or `-` where the server cannot read it; and the name.
 */

/** @param name latin1 */
export function digestRecord(name: string, sha256: string | undefined): string {
  return `${sha256 ?? '-'}\0${name}\0`;
}

export function digestsEnd(count: number): string {
  return `.${count}\0\0`;
}

/** By name (latin1); null for what the server cannot read. Undefined when the answer is not whole. */
export function parseDigests(text: string): Map<string, string | null> | undefined {
  const parts = text.split('\0');
  const digests = new Map<string, string | null>();
  let count = 0;
  for (let at = 0; at + 2 < parts.length; at += 2) {
    const [digest = '', name = ''] = [parts[at], parts[at + 1]];
    if (digest.startsWith('.')) return Number(digest.slice(1)) === count ? digests : undefined;
    if (digest !== '-' && !/^[0-9a-f]{64}$/.test(digest)) return undefined;
    digests.set(name, digest === '-' ? null : digest);
    count += 1;
  }
  return undefined;
}
