import { randomBytes } from 'node:crypto';
import { link, lstat, rename, unlink } from 'node:fs/promises';
import { isMissing } from '../../../system/files.ts';
import { run } from '../../../system/run.ts';

/**
 * Makes each named file that shares its content with other names (hard links) single: a copy that shares its blocks
 * (reflink) takes its place, with mode, times and attributes. rsync --inplace can then not write into the other names.
 * Names that are missing, no regular files, or single already are passed over.
 * @returns `missing`: the places in the list at which no regular file is there
 * @param list paths below the directory, as bytes, each ended by NUL.
 */
export async function separate(list: Buffer): Promise<{ ok: true; separated: number; missing: number[] }> {
  let separated = 0;
  const missing: number[] = [];
  for (const [at, path] of [...splitAtNul(list)].entries()) {
    if (!isPlainRelative(path)) continue;
    const is = await separateOne(path);
    if (is === 'separated') separated += 1;
    if (is === 'missing' && missing.length < mostMissing) missing.push(at);
  }
  return { ok: true, separated, missing };
}

/** No more places are told: the answer has to stay small. */
const mostMissing = 50_000;

async function separateOne(path: Buffer): Promise<'separated' | 'missing' | 'single'> {
  try {
    const stat = await lstat(path);
    if (!stat.isFile()) return 'missing';
    if (stat.nlink < 2) return 'single';
  } catch (error) {
    if (isMissing(error)) return 'missing';
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
  return 'separated';
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
