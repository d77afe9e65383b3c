import { join } from 'node:path';
import { eachRecord } from '../catalogue/compare.ts';
import { keptBy } from '../catalogue/kept.ts';
import { entriesAt } from '../catalogue/part.ts';
import { parseRecord } from '../catalogue/record.ts';
import { openSource } from '../catalogue/scan.ts';
import { lookAtEncrypted } from '../system/fscrypt.ts';
import { isWithin } from './mounts.ts';
import type { Plan } from './plan.ts';
import { namesOf, removeListed, writeList } from './send-changes.ts';
import { showPath } from './sources.ts';
import { type PassesEnd, type TransferContext, together, transfer, type Unread } from './transfer.ts';

/*
 * Encrypted directories that are open. The key may go at any moment, in the middle of a pass too: then their names are cipher names,
 * and those that the scan saw are not to be found. So no rsync looks for names in them. It is given those that the scan saw, and one
 * that is not found is left as the server has it (keepsMissing); what was gone at the scan is deleted by name.
 */

/** Whether a path is, or lies in, an encrypted directory that is open. */
export function isOpenPath({ openDirectories }: Pick<Plan, 'openDirectories'>): (path: string) => boolean {
  return (path) => openDirectories.some((place) => isWithin(path, place));
}

/** Deletes by name what was gone at the scan, because the passes of such a run delete nothing that they do not find. */
export async function removeGone(
  context: TransferContext,
  { openDirectories, scan }: Plan,
  changed: readonly string[],
  workDirectory: string,
): Promise<PassesEnd> {
  if (openDirectories.length === 0) return together([]);
  const there = entriesAt(scan.file, changed);
  const gone = changed.filter((path) => !there.has(path));
  const isBelow = keptBy(gone.map((path) => ({ path, extent: 'contents', why: '' })));
  return await removeListed(
    context,
    gone.filter((path) => !isBelow(path)),
    workDirectory,
  );
}

/** For a walk, from which the rules hide these directories: sends what the scan saw in them. */
export async function sendOpen(
  context: TransferContext,
  plan: Plan,
  touched: readonly string[],
  workDirectory: string,
): Promise<PassesEnd> {
  if (plan.openDirectories.length === 0) return together([]);
  const isOpen = isOpenPath(plan);
  const paths: string[] = [];
  const source = openSource(plan.scan.file);
  try {
    eachRecord(source.next, (record) => {
      const entry = parseRecord(record);
      if (entry !== undefined && isOpen(entry.path) && (plan.taken?.(entry.path, entry.type === 'd') ?? true)) {
        paths.push(entry.path);
      }
    });
  } finally {
    source.close();
  }
  context.log.step(`sending ${paths.length} names in encrypted directories`);
  const compared = touched.filter(isOpen);
  const ends: PassesEnd[] = [];
  if (compared.length > 0) {
    const listFile = await writeList(join(workDirectory, 'open-touched'), namesOf(compared));
    ends.push(await transfer(context, { kind: 'list', listFile, checksum: true }, workDirectory));
  }
  const listFile = await writeList(join(workDirectory, 'open'), namesOf(paths));
  ends.push(await transfer(context, { kind: 'list', listFile }, workDirectory));
  return together(ends);
}

/** Those that are locked by now: the snapshot has of them what came before. */
export async function lockedMeanwhile({ openDirectories, space }: Plan): Promise<Unread[]> {
  const now = await lookAtEncrypted(openDirectories, space.root);
  const locked = openDirectories.filter((path) => now.some((one) => one.path === path && one.isLocked));
  return locked.map((path) => ({
    path: showPath(path),
    why: 'it is encrypted (fscrypt), and was locked while the run went on: what had not come is kept as the server had it',
  }));
}
