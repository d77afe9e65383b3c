import { run } from '../run.ts';
import { bytesWrittenSince } from './written.ts';

/**
 * What all files of a subvolume take, in bytes before compression: each extent once and as a whole, however many files share it.
 * Needs root.
 * @returns undefined when it takes longer than the time that is given, or cannot be told.
 */
export async function treeBytes(subvolume: string, timeoutMs: number): Promise<number | undefined> {
  // No extent is as old as that, so everything is newer.
  return (await bytesWrittenSince(subvolume, 0, timeoutMs).catch(() => undefined))?.bytes;
}

/**
 * What a subvolume alone holds, in bytes before compression: all that deleting it would free. Needs root.
 * @returns undefined when it takes longer than the time that is given, or cannot be told.
 */
export async function exclusiveBytes(subvolume: string, timeoutMs: number): Promise<number | undefined> {
  try {
    const { stdout } = await run(['btrfs', 'filesystem', 'du', '--summarize', '--raw', '--', subvolume], {
      timeoutMs,
    });
    // Total, exclusive, shared by its own files, name: the name is the caller's own path.
    const line = stdout.toString('latin1').split('\n')[1] ?? '';
    const bytes = Number(/^\s*\d+\s+(\d+)\s/.exec(line)?.[1]);
    return Number.isSafeInteger(bytes) ? bytes : undefined;
  } catch {
    return undefined;
  }
}
