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

/** What lies below a directory, subvolumes included. Bytes before compression. */
export interface DiskUse {
  readonly totalBytes: number;
  /** What nothing else holds: all that deleting it would free. */
  readonly exclusiveBytes: number;
}

/**
 * Asks what a directory holds, alone and with others, by `btrfs filesystem du` (6.x). Needs root.
 * @returns undefined when it takes longer than the time that is given, or cannot be told.
 */
export async function diskUse(directory: string, timeoutMs: number): Promise<DiskUse | undefined> {
  try {
    const { stdout } = await run(['btrfs', 'filesystem', 'du', '--summarize', '--raw', '--', directory], {
      timeoutMs,
    });
    // Total, exclusive, shared by its own files, name: the name is the caller's own path.
    const line = stdout.toString('latin1').split('\n')[1] ?? '';
    const [totalBytes, exclusiveBytes] = (/^\s*(\d+)\s+(\d+)\s/.exec(line) ?? []).slice(1).map(Number);
    return totalBytes === undefined || exclusiveBytes === undefined ? undefined : { totalBytes, exclusiveBytes };
  } catch {
    return undefined;
  }
}
