import { readFile } from 'node:fs/promises';

/** A process, so that its number cannot pass to another one unseen. */
export interface Known {
  readonly pid: number;
  /** In ticks since the start of the machine. */
  readonly startedAt: string;
}

/** A chain of parents is never longer. */
const mostParents = 64;

/**
 * The process of sshd that serves this session: it ends when the connection does, and the program in the jail may be too busy to
 * notice. Undefined where the session is not sshd's, as of root on the server itself.
 */
export async function sessionOfSshd(pid = process.pid): Promise<Known | undefined> {
  let at = pid;
  for (let step = 0; step < mostParents && at > 1; step += 1) {
    const stat = await statOf(at);
    if (stat === undefined) return undefined;
    if (stat.name.startsWith('sshd')) return { pid: at, startedAt: stat.startedAt };
    at = stat.parent;
  }
  return undefined;
}

/** Whether a process is still there. */
export async function isThere({ pid, startedAt }: Known): Promise<boolean> {
  const stat = await statOf(pid);
  return stat !== undefined && stat.startedAt === startedAt && stat.state !== 'Z';
}

async function statOf(pid: number) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : parseStat(text);
}

/** /proc/PID/stat (proc_pid_stat(5)); the name stands in brackets and may hold brackets and spaces itself. */
export function parseStat(text: string): { name: string; state: string; parent: number; startedAt: string } {
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    state: fields[0] ?? '',
    parent: Number(fields[1] ?? 0),
    startedAt: fields[19] ?? '',
  };
}
