import { createInterface } from 'node:readline';
import { BytebackError } from '../errors.ts';
import { run, start } from './run.ts';

/** The transaction that a snapshot is of: what is written later has a higher number. Needs root. */
export async function generationOf(snapshot: string): Promise<number> {
  // No extent has this generation, so only the marker is printed.
  const { stdout } = await run(['btrfs', 'subvolume', 'find-new', '--', snapshot, '9999999999999']);
  const marker = /^transid marker was (\d+)$/m.exec(stdout.toString('latin1'))?.[1];
  if (marker === undefined) {
    throw new BytebackError('bug', {
      what: 'cannot read the output of btrfs subvolume find-new',
      why: 'no marker in it',
    });
  }
  return Number(marker);
}

/**
 * Bytes of file content in a snapshot that were written after a transaction, before compression: each extent counts
 * once, however many files share it. Reads only the part of the tree that changed. Needs root.
 * @returns also the transaction that the snapshot itself is of; undefined when it takes longer than the time that is given.
 */
export async function bytesWrittenSince(
  snapshot: string,
  generation: number,
  timeoutMs: number,
): Promise<{ bytes: number; generation: number } | undefined> {
  const program = start(['btrfs', 'subvolume', 'find-new', '--', snapshot, String(generation + 1)], {
    stdout: 'pipe',
    timeoutMs,
  });
  if (program.stdout === null) throw new BytebackError('bug', { what: 'no pipe from btrfs subvolume find-new' });
  let bytes = 0;
  let last = '';
  let marker = 0;
  program.stdout.setEncoding('latin1');
  for await (const line of createInterface({ input: program.stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
    const figures = /^inode \d+ file offset \d+ len (\d+) disk start (\d+) offset (\d+) /.exec(line);
    if (figures === null) {
      marker = Number(/^transid marker was (\d+)$/.exec(line)?.[1] ?? marker);
      continue;
    }
    // A copy by reflink stands right behind its origin, or far away; the near ones are the many.
    const extent = `${figures[2]} ${figures[3]}`;
    if (extent !== last || figures[2] === '0') bytes += Number(figures[1]);
    last = extent;
  }
  const { exitCode } = await program.ended;
  return exitCode === 0 && marker > 0 ? { bytes, generation: marker } : undefined;
}

/** Deletes a subvolume by its number, whatever has been done to the directories above it meanwhile; committed on return. */
export async function deleteSubvolumeById(fileSystem: string, id: number): Promise<void> {
  await run(['btrfs', 'subvolume', 'delete', '--commit-after', '--subvolid', String(id), '--', fileSystem], {
    timeoutMs: 600_000,
  });
}

/** A subvolume as the file system itself names it. */
export interface ListedSubvolume {
  readonly id: number;
  /** From the top of the file system, without a leading slash. */
  readonly path: string;
}

/** All subvolumes of a file system with their real paths, when its top is mounted there; otherwise none. Needs root. */
export async function listSubvolumes(fileSystem: string): Promise<ListedSubvolume[]> {
  const { stdout: top } = await run(['btrfs', 'inspect-internal', 'rootid', '--', fileSystem]);
  if (top.toString('latin1').trim() !== '5') return [];
  const { stdout } = await run(['btrfs', 'subvolume', 'list', '--', fileSystem]);
  return stdout
    .toString('utf8')
    .split('\n')
    .map((line) => /^ID (\d+) gen \d+ top level \d+ path (.+)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ id: Number(match[1]), path: match[2] ?? '' }));
}

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
