import { run } from '../run.ts';

/**
 * Moves the content of data chunks that are at most so full together, so that whole chunks become free for metadata.
 * @param limit at most so many chunks.
 * @returns false when btrfs could not: mostly for want of the room that it needs to move anything.
 */
export async function balanceData(fileSystem: string, usagePercent: number, limit: number): Promise<boolean> {
  const { exitCode } = await run(
    ['btrfs', 'balance', 'start', `-dusage=${usagePercent},limit=${limit}`, '--', fileSystem],
    { timeoutMs: 1_800_000, accept: [0, 1] },
  );
  return exitCode === 0;
}
