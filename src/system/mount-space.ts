import { readFileSync, readlinkSync } from 'node:fs';
import { reasonOf } from '../errors.ts';
import { parseMountinfo } from './mountinfo.ts';
import { run, start } from './run.ts';
import { diesWithParent } from './ssh.ts';

/** A mount namespace of a run's own: what is detached in it, is there as before for everybody else. */
export interface MountSpace {
  /** Put before a program's argv, it lets the program start inside; empty for the machine's own. */
  readonly enter: readonly string[];
  /** Put before an absolute path, it lets us look inside; empty for the machine's own. */
  readonly root: string;
  /** Ends it, once nobody works in it any more. */
  close(): Promise<void>;
}

/** The machine's own: where nothing has to be detached, or cannot be. */
export const machineSpace: MountSpace = { enter: [], root: '', close: async () => undefined };

/** A detachment touches no file system; whatever takes longer than this is stuck. */
const patienceMs = 15_000;

/** What xargs(1) ends with when a program that it started failed. */
const failedOfXargs = 123;

/**
 * Makes a mount namespace and detaches in it what is mounted at some places, and below them. The kernel does so without asking
 * the file systems: also where a server or a program that shows them answers no more (umount2(2), MNT_DETACH). A process keeps
 * the namespace as long as it is wanted; it dies with us.
 * @param places absolute, as byte strings; one that is there twice had two mounts
 * @returns why there is none, where the kernel does not allow it: without CAP_SYS_ADMIN, in most containers
 */
export async function openMountSpace(places: readonly string[], signal?: AbortSignal): Promise<MountSpace | string> {
  // It ends with its standard input, too.
  const keeper = start([...diesWithParent, 'unshare', '--mount', '--propagation', 'private', '--', 'cat'], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    cwd: '/',
    detached: true,
    ...(signal === undefined ? {} : { signal }),
  });
  keeper.stdin?.on('error', () => undefined);
  const said: string[] = [];
  keeper.stderr?.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const close = async () => {
    keeper.kill('SIGKILL');
    await keeper.ended;
  };
  try {
    // What comes back says that cat runs, and so that the namespace is there.
    const echo = new Promise<void>((resolve) => keeper.stdout?.once('data', () => resolve()));
    keeper.stdin?.write('\n');
    const first = await Promise.race([echo, keeper.ended]);
    if (first !== undefined) return said.join('').trim() || 'unshare failed';
    const file = `/proc/${keeper.pid}/ns/mnt`;
    if (readlinkSync(file) === readlinkSync('/proc/self/ns/mnt')) throw new Error('the namespace is ours');
    const enter = ['nsenter', `--mount=${file}`, '--'] as const;
    // No argument of Node's could be a path that is no UTF-8; xargs(1) gives on what it reads.
    const umount = ['xargs', '-0', '--no-run-if-empty', 'umount', '--lazy', '--no-canonicalize', '--internal-only'];
    const mounts = () =>
      parseMountinfo(readFileSync(`/proc/${keeper.pid}/mountinfo`, 'latin1')).filter(({ path }) =>
        places.includes(path),
      );
    const before = mounts().length;
    const { stderr } = await run([...enter, ...umount, '--'], {
      input: Buffer.from(places.map((place) => `${place}\0`).join(''), 'latin1'),
      timeoutMs: patienceMs,
      accept: [0, failedOfXargs],
    });
    // What it did counts, not how it ended: a mount that is gone meanwhile is no failure.
    if (mounts().length > before - places.length) throw new Error(stderr.trim() || 'umount did nothing');
    return { enter, root: `/proc/${keeper.pid}/root`, close };
  } catch (error) {
    await close();
    signal?.throwIfAborted();
    return reasonOf(error);
  }
}
