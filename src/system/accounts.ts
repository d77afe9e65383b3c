import { readdir, readFile, stat } from 'node:fs/promises';
import { run } from './run.ts';

/** A user of this machine. */
export interface UserAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** A user of this machine, wherever its name service finds it, or undefined when there is none of this name. */
export async function findUser(name: string): Promise<UserAccount | undefined> {
  // getent takes a number for a uid: a name is never one.
  if (!/^[a-z_][a-z0-9_-]*$/.test(name)) return undefined;
  // 2: not found.
  const { stdout } = await run(['getent', 'passwd', name], { accept: [0, 2] });
  const [foundName, , uid, gid, , home, shell] = stdout.toString('utf8').trimEnd().split(':');
  if (foundName !== name || uid === undefined || gid === undefined || home === undefined || shell === undefined)
    return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home, shell };
}

/** Names of all groups that a user is in, its own included. */
export async function groupsOf(name: string): Promise<string[]> {
  const { stdout } = await run(['id', '--groups', '--name', '--', name]);
  return stdout.toString('utf8').trim().split(' ');
}

/** Names of the local users or groups by number, from /etc/passwd or /etc/group; for showing only. */
export async function localNames(file: '/etc/passwd' | '/etc/group'): Promise<ReadonlyMap<number, string>> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name = '', , id = ''] = line.split(':');
    // The first of several names for a number is the one that other programs show, too.
    if (/^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}

/** What a user runs now: `1234 (rsync)`. */
export async function processesOf(uid: number): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if ((await stat(`/proc/${pid}`)).uid !== uid) continue;
      const status = await readFile(`/proc/${pid}/status`, 'utf8');
      // One that has ended, and that nobody has asked about, does nothing more.
      if (/^State:\s+[ZX]/m.test(status)) continue;
      found.push(`${pid} (${/^Name:\s+(.*)$/m.exec(status)?.[1] ?? '?'})`);
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
