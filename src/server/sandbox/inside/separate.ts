import { randomBytes } from 'node:crypto';
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { isMissing } from '../../../system/files.ts';
import { run } from '../../../system/run.ts';

/**
 * Makes each named file that shares its content with other names (hard links) single: a copy that shares its blocks
 * (reflink) takes its place, with mode, times and attributes. rsync --inplace can then not write into the other names.
 * Names that are missing, no regular files, or single already are passed over.
 * @param list paths below the directory, as bytes, each ended by NUL.
 */
export async function separate(list: Buffer): Promise<{ ok: true; separated: number }> {
  let separated = 0;
  for (const path of splitAtNul(list)) {
    if (isPlainRelative(path) && (await separateOne(path))) separated += 1;
  }
  return { ok: true, separated };
}

async function separateOne(path: Buffer): Promise<boolean> {
  try {
    const stat = await lstat(path);
    if (!stat.isFile() || stat.nlink < 2) return false;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  // A program's arguments are text here, and a name may be no valid UTF-8: cp works on names of ours at the top.
  const id = randomBytes(8).toString('hex');
  const source = `.${id}.from`;
  const copy = `.${id}.copy`;
  await link(path, source);
  try {
    await run(
      ['cp', '--preserve=mode,timestamps,xattr', '--reflink=auto', '--no-target-directory', '--', source, copy],
      { timeoutMs: 3_600_000 },
    );
    await rename(copy, path);
  } finally {
    await unlink(source);
    await unlink(copy).catch(() => undefined);
  }
  return true;
}

/** The parts of a list that are each ended by NUL. */
export function* splitAtNul(list: Buffer): Generator<Buffer> {
  let from = 0;
  for (let at = list.indexOf(0); at !== -1; at = list.indexOf(0, from)) {
    yield list.subarray(from, at);
    from = at + 1;
  }
  if (from < list.length) yield list.subarray(from);
}

/** A path that goes only downwards. The jail holds it in any case; this keeps what is not meant from being tried. */
export function isPlainRelative(path: Buffer): boolean {
  if (path.length === 0 || path.length > 4095) return false;
  return path
    .toString('latin1')
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..');
}
