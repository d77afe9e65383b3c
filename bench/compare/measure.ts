/** Measures one command from outside: time, work and memory of the processes on both sides, bytes on the loopback, new disk. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { must } from '../../test/helpers/command.ts';
import type { WorkCounter } from './work-counter.ts';

/** What one run cost. */
export interface Measured {
  readonly seconds: number;
  /**
   * What the processes of both sides worked, in seconds of one processor: on a crowded machine this says more than the time.
   * What the kernel does by itself later (compressing, writing out) is not in it. NaN where the kernel does not count it.
   */
  readonly cpuSeconds: number;
  /** Both directions, with the headers of TCP. */
  readonly wireBytes: number;
  /** What the store used more after all was written out. */
  readonly diskBytes: number;
  /** What of that is btrfs' own: trees, which it keeps twice on one disk. */
  readonly metadataBytes: number;
  /** Largest sum of the resident memory of the command and all that it started, looked at 40 times a second. */
  readonly clientBytes: number;
  /** The same of all sessions of sshd. */
  readonly serverBytes: number;
}

const pollMs = 25;
const pageBytes = 4096;

/** What a command needs to run, and where its other side is seen. */
export interface Measuring {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Exit codes that are success; 0 by default. */
  readonly accept?: readonly number[];
  /** sshd: what it starts is the server's side. */
  readonly serverPid: number;
  /** Counts the work of both sides. */
  readonly work: WorkCounter;
  /** A path on the store. */
  readonly store: string;
}

/** @throws Error when the command fails, with what it printed. */
export async function measure(call: Measuring): Promise<Measured> {
  const diskBefore = await usedBytes(call.store);
  const workBefore = call.work.seconds();
  const wireBefore = loopbackBytes();
  const [program = '', ...args] = call.argv;
  const begin = performance.now();
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...call.env },
    ...(call.cwd === undefined ? {} : { cwd: call.cwd }),
  });
  call.work.countClient(child.pid);
  let said = '';
  const keep = (chunk: Buffer) => {
    said = (said + chunk.toString('latin1')).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let clientBytes = 0;
  let serverBytes = 0;
  const poll = setInterval(() => {
    clientBytes = Math.max(clientBytes, treeBytes(child.pid ?? 0, true));
    serverBytes = Math.max(serverBytes, treeBytes(call.serverPid, false));
  }, pollMs);
  const [code] = (await once(child, 'close').finally(() => clearInterval(poll))) as [number | null];
  const seconds = (performance.now() - begin) / 1000;
  if (!(call.accept ?? [0]).includes(code ?? -1)) throw new Error(`${call.argv.join(' ')} exited ${code}\n${said}`);
  const wireBytes = loopbackBytes() - wireBefore;
  const diskAfter = await usedBytes(call.store);
  return {
    seconds,
    // After the sync: the server's side may end a moment later than the client's.
    cpuSeconds: call.work.seconds() - workBefore,
    wireBytes,
    diskBytes: diskAfter.all - diskBefore.all,
    metadataBytes: diskAfter.metadata - diskBefore.metadata,
    clientBytes,
    serverBytes,
  };
}

/** Every byte that was sent over the loopback is received there too: one of the two is counted. */
function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync('/proc/net/dev', 'latin1'));
  return Number(line?.[1] ?? 0);
}

/** Resident memory of a process and all below it; what has ended meanwhile counts nothing. */
function treeBytes(pid: number, itself: boolean): number {
  let bytes = 0;
  try {
    if (itself) bytes += Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * pageBytes;
    for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ')) {
      if (child !== '') bytes += treeBytes(Number(child), true);
    }
  } catch {
    // It has ended between two looks.
  }
  return bytes;
}

/** What btrfs says is used, after all that waits was written. */
export async function usedBytes(store: string): Promise<{ all: number; metadata: number }> {
  // What a case before this one deleted is given back in the background.
  await must(['btrfs', 'subvolume', 'sync', store], { timeoutMs: 600_000 });
  await must(['sync', '-f', store], { timeoutMs: 600_000 });
  const { stdout } = await must(['btrfs', 'filesystem', 'usage', '-b', store]);
  const all = Number(/^\s*Used:\s*(\d+)/m.exec(stdout)?.[1] ?? 0);
  // Of the copies that it keeps, data have one on one disk.
  const data = Number(/^Data,single:.*Used:(\d+)/m.exec(stdout)?.[1] ?? 0);
  return { all, metadata: all - data };
}
