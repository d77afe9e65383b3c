import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClientName, parseClientName } from '../protocol/names.ts';
import type { Running } from '../report/fleet.ts';
import { WorkMeter } from './receive/progress.ts';
import type { Store } from './store.ts';

/** One rsync in its jail, as the system's table of processes shows it. */
export interface JailedTransfer {
  readonly client: ClientName;
  readonly kind: Running['kind'];
  readonly doneBytes: number;
  readonly ageMs: number;
}

/**
 * The transfers that are under way. bubblewrap's own arguments say whose directory is in the jail: they are written by
 * receive, so that no client can word them. What ends while it is looked at is left out.
 */
export async function findTransfers(store: Store): Promise<JailedTransfer[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const uptimeMs = 1000 * Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0] ?? 0);
  const found = await Promise.all(
    pids.map(async (pid): Promise<JailedTransfer[]> => {
      try {
        const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
        const of = whoseJail(store, argv);
        // bwrap has a child of the same arguments: the outer one counts for both.
        if (of === undefined || (await isChildOfBwrap(pid))) return [];
        const { readBytes, writtenBytes } = await new WorkMeter(Number(pid)).read();
        const ageMs = Math.max(0, uptimeMs - 10 * (await startTicks(pid)));
        return [{ ...of, doneBytes: of.kind === 'backup' ? writtenBytes : readBytes, ageMs }];
      } catch {
        // It has ended.
        return [];
      }
    }),
  );
  return found.flat();
}

/** Whose files a bubblewrap of ours shows to an rsync, or undefined when it is none. */
export function whoseJail(
  store: Store,
  argv: readonly string[],
): { client: ClientName; kind: Running['kind'] } | undefined {
  if (argv[0] !== 'bwrap' || !argv.includes('rsync')) return undefined;
  for (const [at, word] of argv.entries()) {
    const directory = argv[at + 1] ?? '';
    if ((word !== '--bind' && word !== '--ro-bind') || !directory.startsWith(join(store.clientsDir, '/'))) continue;
    const client = parseClientName(directory.slice(store.clientsDir.length + 1).split('/')[0] ?? '');
    if (client === undefined) continue;
    if (word === '--bind') return { client, kind: 'backup' };
    return { client, kind: directory === store.fsDir(client) ? 'check' : 'restore' };
  }
  return undefined;
}

async function isChildOfBwrap(pid: string): Promise<boolean> {
  const parent = (await statFields(pid))[1] ?? '0';
  return (await readFile(`/proc/${parent}/comm`, 'utf8').catch(() => '')) === 'bwrap\n';
}

/** When it started, in ticks of 10 ms since the machine did. */
async function startTicks(pid: string): Promise<number> {
  return Number((await statFields(pid))[19] ?? 0);
}

/** The fields of /proc/PID/stat from the third on; the second may hold spaces and brackets. */
async function statFields(pid: string): Promise<string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
