import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
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
  const found = await Promise.all(
    runningJails().map(async ({ pid, argv }): Promise<JailedTransfer[]> => {
      try {
        const of = whoseJail(store, argv);
        if (of === undefined || (await isChildOfBwrap(pid))) return [];
        const { readBytes, writtenBytes } = await new WorkMeter(Number(pid)).read();
        const ageMs = await ageOf(pid);
        return [{ ...of, doneBytes: of.kind === 'backup' ? writtenBytes : readBytes, ageMs }];
      } catch {
        // It has ended.
        return [];
      }
    }),
  );
  return found.flat();
}

/**
 * All processes that are a bubblewrap, with their arguments. Pruning asks before and after each deletion: read in one go, a thousand
 * processes take some milliseconds, and many times that by asynchronous calls.
 */
export function runningJails(): readonly { readonly pid: string; readonly argv: readonly string[] }[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return text.startsWith('bwrap\0') ? [{ pid, argv: text.split('\0') }] : [];
    } catch {
      // It has ended.
      return [];
    }
  });
}

/** Whose files a bubblewrap of ours shows to an rsync, or undefined when it is none. */
export function whoseJail(
  store: Store,
  argv: readonly string[],
): { client: ClientName; kind: Running['kind'] } | undefined {
  if (!argv.includes('rsync')) return undefined;
  const [shown] = jailedDirectories(store, argv);
  if (shown === undefined) return undefined;
  const { client, isWritable, directory } = shown;
  if (isWritable) return { client, kind: 'backup' };
  return { client, kind: directory === store.fsDir(client) ? 'check' : 'restore' };
}

/** What of a store a bubblewrap of ours shows to what runs in it. */
export function jailedDirectories(
  store: Store,
  argv: readonly string[],
): readonly { readonly client: ClientName; readonly directory: string; readonly isWritable: boolean }[] {
  if (argv[0] !== 'bwrap') return [];
  return argv.flatMap((word, at) => {
    const directory = argv[at + 1] ?? '';
    if ((word !== '--bind' && word !== '--ro-bind') || !directory.startsWith(join(store.clientsDir, '/'))) return [];
    const client = parseClientName(directory.slice(store.clientsDir.length + 1).split('/')[0] ?? '');
    return client === undefined ? [] : [{ client, directory, isWritable: word === '--bind' }];
  });
}

/** bwrap has a child of the same arguments: the outer one counts for both. */
export async function isChildOfBwrap(pid: string): Promise<boolean> {
  const parent = (await statFields(pid))[1] ?? '0';
  return (await readFile(`/proc/${parent}/comm`, 'utf8').catch(() => '')) === 'bwrap\n';
}

/** How long it has been running, in milliseconds. */
export async function ageOf(pid: string): Promise<number> {
  const uptimeMs = 1000 * Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0] ?? 0);
  // When it started, in ticks of 10 ms since the machine did.
  return Math.max(0, uptimeMs - 10 * Number((await statFields(pid))[19] ?? 0));
}

/** The fields of /proc/PID/stat from the third on; the second may hold spaces and brackets. */
async function statFields(pid: string): Promise<string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
