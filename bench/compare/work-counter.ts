import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Adds up the processor time of two groups of processes, those that have ended included: control groups do. */
export interface WorkCounter {
  /** A process, before it has started any other. */
  countClient(pid: number | undefined): void;
  /** Of both sides until now; NaN where the kernel does not count it. */
  seconds(): number;
  dispose(): void;
}

/** @param serverPid what it starts from now on is counted */
export function countWork(serverPid: number): WorkCounter {
  const top = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/self/mounts', 'utf8'))?.[1];
  if (top === undefined) return { countClient: () => undefined, seconds: () => Number.NaN, dispose: () => undefined };
  const groups = ['client', 'server'].map((side) => join(top, `byteback-bench-${serverPid}-${Date.now()}-${side}`));
  const [client = '', server = ''] = groups;
  for (const group of groups) mkdirSync(group);
  writeFileSync(join(server, 'cgroup.procs'), String(serverPid));
  return {
    countClient: (pid) => {
      if (pid !== undefined) writeFileSync(join(client, 'cgroup.procs'), String(pid));
    },
    seconds: () => groups.reduce((sum, group) => sum + secondsOf(group), 0),
    dispose() {
      for (const group of groups.filter(existsSync)) {
        try {
          rmdirSync(group);
        } catch {
          // Something in it has not ended yet; an empty group that stays does no harm.
        }
      }
    },
  };
}

function secondsOf(group: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(group, 'cpu.stat'), 'latin1'))?.[1]) / 1e6;
}
