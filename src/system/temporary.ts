import { type Dirent, readFileSync } from 'node:fs';
import { lstat, mkdtemp, readdir, readlink, realpath, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/*
 * What is only there for a moment, and what becomes of it when its process is killed or the power goes. A temporary file is open from
 * its first moment until it has got its real name; a temporary directory names the process that made it. So whoever comes next can
 * tell what nobody uses any more, without asking a clock, and takes it away.
 */

/** The name that a file bears until it is whole. */
const temporaryFile = /^\.[0-9a-f]{12}\.tmp$/;

/** Directories that this process has swept: each once. */
const swept = new Set<string>();

/** Takes away the temporary files in a directory that no process has open. What cannot be looked at stays; never throws. */
export async function sweepTemporaryFiles(directory: string, { again = false } = {}): Promise<void> {
  if (swept.has(directory) && !again) return;
  swept.add(directory);
  const names = await readdir(directory).catch(() => []);
  const candidates = names.filter((name) => temporaryFile.test(name));
  if (candidates.length === 0) return;
  // Looked at after the names were read: whoever made one of them has it open, or has given it its real name by now.
  const open = await openFiles();
  const real = await realpath(directory).catch(() => directory);
  for (const name of candidates) {
    const path = join(real, name);
    const isFile = (await lstat(path).catch(() => undefined))?.isFile() ?? false;
    if (isFile && !open.has(path)) await unlink(path).catch(() => undefined);
  }
}

/** The paths of all files that processes have open, as far as we may see. */
async function openFiles(): Promise<Set<string>> {
  const found = new Set<string>();
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const path = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
      if (path?.endsWith('.tmp')) found.add(path);
    }
  }
  return found;
}

/** When a process began, in ticks since the boot: with its number it names it for good. Undefined when there is none. */
function beginOf(pid: number | 'self'): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The program's name stands in brackets, and may hold anything.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/**
 * A directory of this process's own. Those of the same prefix whose process has ended without taking them away go first.
 * @param prefix ends with a hyphen.
 */
export async function makeTemporaryDirectory(parent: string, prefix: string): Promise<string> {
  await sweepTemporaryDirectories(parent, prefix);
  return mkdtemp(join(parent, `${prefix}${process.pid}-${beginOf('self') ?? '0'}-`));
}

async function sweepTemporaryDirectories(parent: string, prefix: string): Promise<void> {
  const entries: Dirent[] = await readdir(parent, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (!entry.isDirectory() || !entry.name.startsWith(prefix)) continue;
    const [, pid, begin] = /^(\d+)-(\d+)-[A-Za-z0-9]{6}$/.exec(entry.name.slice(prefix.length)) ?? [];
    if (pid === undefined || beginOf(Number(pid)) === begin) continue;
    const path = join(parent, entry.name);
    // In /tmp anybody can make such a name: only our own is ours to take away.
    const isOurs = (await lstat(path).catch(() => undefined))?.uid === process.getuid?.();
    if (isOurs) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}
