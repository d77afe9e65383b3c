import { lstat, mkdir, readdir, readFile, rmdir, symlink, unlink } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import * as v from 'valibot';

/** What a proof tries to see: paths of the machine that must not be there inside. */
export const ProveTaskSchema = v.object({ hidden: v.array(v.string()), writable: v.boolean() });

/** What the program in the jail saw. */
export const ProofSchema = v.object({
  /** Paths that should be hidden and are not. */
  visible: v.array(v.string()),
  /** 2: a filter is active. */
  seccomp: v.number(),
  noNewPrivileges: v.boolean(),
  /** Effective capabilities, hexadecimal. */
  capabilities: v.string(),
  /** Interfaces with an address besides loopback. */
  interfaces: v.array(v.string()),
  processes: v.number(),
  /** True when the filter refuses a call of its list. */
  symlinkRefused: v.boolean(),
  /** Whether the directory could be written, and the root of the jail. */
  wroteDirectory: v.boolean(),
  wroteRoot: v.boolean(),
});
export type Proof = v.InferOutput<typeof ProofSchema>;

/** Tries from inside what the jail must not allow, and says what happened. */
export async function proveFromInside(request: Buffer): Promise<Proof> {
  const { hidden } = v.parse(ProveTaskSchema, JSON.parse(request.toString('utf8')));
  const status = await readFile('/proc/self/status', 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(status)?.[1] ?? '';
  const visible: string[] = [];
  for (const path of hidden) if (await succeeds(() => lstat(path))) visible.push(path);
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).length;
  const link = `.prove-link-${process.pid}`;
  const linked = await succeeds(() => symlink('nowhere', link));
  if (linked) await unlink(link);
  return {
    visible,
    seccomp: Number(field('Seccomp')),
    noNewPrivileges: field('NoNewPrivs') === '1',
    capabilities: field('CapEff'),
    interfaces: Object.keys(networkInterfaces()).filter((name) => name !== 'lo'),
    processes,
    symlinkRefused: !linked,
    wroteDirectory: await canMakeDirectory(`.prove-${process.pid}`),
    wroteRoot: await canMakeDirectory(`/prove-${process.pid}`),
  };
}

async function canMakeDirectory(path: string): Promise<boolean> {
  const made = await succeeds(() => mkdir(path));
  if (made) await rmdir(path);
  return made;
}

async function succeeds(attempt: () => Promise<unknown>): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch {
    // Whatever the reason is: it did not work, and that is what is asked.
    return false;
  }
}
