import { lstatSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { isMissing } from '../../system/files.ts';
import { pathIn, type Target } from './target.ts';

/**
 * Refuses a restore whose way leads through a link: what is written there would arrive elsewhere, and not every rsync looks. Where
 * the tree is built, links of root's and of one's own are followed, for `--to` is the admin's word; below it none is.
 * @throws BytebackError (usage)
 */
export function checkWay({ directory, names }: Target): void {
  const seen = new Set<string>();
  const trusted = new Set([0, process.getuid?.() ?? 0]);
  followTop(directory, trusted, 40);
  for (const name of names) {
    for (let slash = name.indexOf('/'); slash > 0; slash = name.indexOf('/', slash + 1)) {
      const path = pathIn(directory, name.subarray(0, slash));
      const key = path.toString('latin1');
      if (seen.has(key)) continue;
      seen.add(key);
      if (!isLink(path)) continue;
      throw new BytebackError('usage', {
        what: `${escapeName(path)} is a link, and a directory in the snapshot`,
        why: 'what is restored below it would be written elsewhere',
        fix: 'restore to another directory with --to, or remove the link first',
      });
    }
  }
}

/** Follows the path of the target's directory, link by link. */
function followTop(directory: string, trusted: ReadonlySet<number>, most: number): void {
  const parts = directory.split('/').filter(Boolean);
  let path = '';
  for (const [at, part] of parts.entries()) {
    path = `${path}/${part}`;
    const stat = lookAt(path);
    if (stat === undefined) return;
    if (!stat.isSymbolicLink()) continue;
    if (!trusted.has(stat.uid) || most === 0) {
      throw new BytebackError('usage', {
        what: `${escapeName(path)} is a link that belongs to user ${stat.uid}`,
        why: 'that user decides where it leads, and what is restored would be written there',
        fix: `name the directory itself with --to: ${escapeName(readlinkSync(path))}, if that is what you mean`,
      });
    }
    const rest = parts.slice(at + 1).join('/');
    followTop(resolve(dirname(path), readlinkSync(path), rest), trusted, most - 1);
    return;
  }
}

function isLink(path: Buffer): boolean {
  return lookAt(path)?.isSymbolicLink() ?? false;
}

function lookAt(path: Buffer | string) {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
