import { constants } from 'node:fs';
import { lstat, open, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BytebackError } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import { kernelMessages } from './kernel-log.ts';
import { ProgramError, run, start } from './run.ts';

/** What a scrub counted, of all devices. */
export interface ScrubCounts {
  readonly scrubbedBytes: number;
  readonly errors: number;
  readonly corrected: number;
  readonly uncorrectable: number;
}

export interface ScrubResult extends ScrubCounts {
  /** Addresses of sectors that cannot be read right any more; undefined when the kernel's log cannot be read. */
  readonly badAddresses: readonly bigint[] | undefined;
}

/**
 * Reads everything on a btrfs and compares it with its checksums; what there is a good copy of is mended. Needs root.
 * @param options.bytesPerSecond for each device; without it as fast as the disk allows, at idle priority.
 * @throws BytebackError locked when a scrub is going on already.
 */
export async function scrub(
  path: string,
  options: { readonly bytesPerSecond?: number; readonly signal?: AbortSignal },
): Promise<ScrubResult> {
  const { uuid, devices } = await fileSystemOf(path);
  const restore = options.bytesPerSecond === undefined ? undefined : await limitSpeed(uuid, options.bytesPerSecond);
  const before = kernelMessages()?.at(-1)?.sequence ?? -1;
  try {
    const { stdout } = await run(['btrfs', 'scrub', 'start', '-B', '-R', '-c', '3', '--', path], {
      timeoutMs: 0,
      // 3: some errors could not be corrected.
      accept: [0, 3],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const messages = kernelMessages()
      ?.filter(({ sequence }) => sequence > before)
      .map(({ text }) => text);
    return {
      ...parseScrubCounts(stdout.toString('utf8')),
      badAddresses: messages === undefined ? undefined : badAddressesIn(messages, new Set(devices)),
    };
  } catch (error) {
    // The kernel goes on when only the program is ended.
    if (options.signal?.aborted) await run(['btrfs', 'scrub', 'cancel', path], { accept: [0, 1, 2] });
    if (error instanceof ProgramError && /already running|in progress/i.test(error.stderr)) {
      throw new BytebackError('locked', {
        what: 'a scrub is going on already',
        fix: `see how far it is: btrfs scrub status ${path}`,
      });
    }
    throw error;
  } finally {
    await restore?.();
  }
}

async function fileSystemOf(path: string): Promise<{ uuid: string; devices: string[] }> {
  const { stdout } = await run(['btrfs', 'filesystem', 'show', '--', path]);
  const text = stdout.toString('utf8');
  const uuid = /\buuid: ([0-9a-f-]{36})/.exec(text)?.[1] ?? '';
  const paths = [...text.matchAll(/^\s+devid .* path (\/\S+)/gm)].map(([, device = '']) => device);
  const real = await Promise.all(paths.map((device) => realpath(device).catch(() => device)));
  return { uuid, devices: [...new Set([...paths, ...real].map((device) => basename(device)))] };
}

/** Limits the speed by sysfs (kernel 5.14 and later). Gives back what puts it back. */
async function limitSpeed(uuid: string, bytesPerSecond: number): Promise<() => Promise<void>> {
  const directory = `/sys/fs/btrfs/${uuid}/devinfo`;
  const before = new Map<string, string>();
  for (const device of await readdir(directory)) {
    const file = join(directory, device, 'scrub_speed_max');
    before.set(file, (await readFile(file, 'utf8')).trim());
    await writeFile(file, String(Math.max(1, Math.floor(bytesPerSecond))));
  }
  return async () => {
    for (const [file, value] of before) await writeFile(file, value);
  };
}

/** Out of `btrfs scrub start -R`. */
export function parseScrubCounts(output: string): ScrubCounts {
  const sum = (name: string) =>
    [...output.matchAll(new RegExp(`^\\s*${name}: (\\d+)$`, 'gm'))].reduce((all, [, count]) => all + Number(count), 0);
  return {
    scrubbedBytes: sum('data_bytes_scrubbed') + sum('tree_bytes_scrubbed'),
    errors: ['read_errors', 'csum_errors', 'verify_errors', 'super_errors'].reduce((all, name) => all + sum(name), 0),
    corrected: sum('corrected_errors'),
    uncorrectable: sum('uncorrectable_errors'),
  };
}

/** The addresses in the kernel's messages of what a scrub could not mend, on some devices. */
export function badAddressesIn(messages: readonly string[], devices: ReadonlySet<string>): bigint[] {
  const addresses = new Set<bigint>();
  for (const message of messages) {
    const [, device = '', address] =
      /^BTRFS error \(device ([^ )]+)[^)]*\): (?:scrub: )?unable to fixup \(regular\) error at logical (\d+) on dev /.exec(
        message,
      ) ?? [];
    if (address !== undefined && devices.has(device)) addresses.add(BigInt(address));
  }
  return [...addresses];
}

/** A file, by the subvolume that it lies in and its number there, and a place in it. */
export interface Inode {
  readonly subvolume: number;
  readonly inode: bigint;
  readonly offset: number;
}

/** A scrub on Linux 6.18 names the beginning of the 64 KiB in which the bad sector lies. */
const stripeBytes = 65_536n;
const sectorBytes = 4096n;

/** The sectors that an address from the kernel's log may stand for. */
export function sectorsAt(address: bigint): bigint[] {
  if (address % stripeBytes !== 0n) return [address];
  return Array.from({ length: Number(stripeBytes / sectorBytes) }, (_, at) => address + BigInt(at) * sectorBytes);
}

/** True when the disk does not give a place of a file; what is in memory of it is forgotten first. */
export async function isUnreadable(path: Buffer, offset: number): Promise<boolean> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const forget = start(['dd', 'iflag=nocache', 'count=0', 'status=none'], { stdin: file.fd });
    await forget.ended;
    await file.read(Buffer.alloc(Number(sectorBytes)), 0, Number(sectorBytes), offset);
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return true;
    throw error;
  } finally {
    await file.close();
  }
}

/** The files that a sector belongs to, in all subvolumes; none for what is no file's. Needs root. */
export async function filesAt(path: string, address: bigint): Promise<Inode[]> {
  const argv = ['btrfs', 'inspect-internal', 'logical-resolve', '-P', '-s', '65536', String(address), path] as const;
  // 1: it belongs to the file system's own structure, or to nothing any more.
  const { stdout } = await run(argv, { accept: [0, 1], timeoutMs: 600_000 });
  return [...stdout.toString('utf8').matchAll(/^inode (\d+) offset (\d+) root (\d+)$/gm)].map(
    ([, inode, offset, root]) => ({
      subvolume: Number(root),
      inode: BigInt(inode ?? 0),
      offset: Number(offset),
    }),
  );
}

/**
 * The names of a file in a subvolume, as absolute paths in bytes. A name may have line ends in it: lines are put together
 * until they name that very file, so that none passes for a file of somebody else: its number is that of a file of this very subvolume, on the way to which
 * nothing is a link out of it.
 */
export async function namesOfInode(subvolume: string, inode: bigint): Promise<Buffer[]> {
  const argv = ['btrfs', 'inspect-internal', 'inode-resolve', String(inode), subvolume] as const;
  const { stdout } = await run(argv, { accept: [0, 1] });
  const names: Buffer[] = [];
  // Each subvolume has a device number of its own.
  const { dev } = await lstat(subvolume, { bigint: true });
  let rest = '';
  for (const line of stdout.toString('latin1').split('\n')) {
    rest = rest === '' ? line : `${rest}\n${line}`;
    if (rest === '') continue;
    const name = Buffer.from(rest, 'latin1');
    const stat = await lstat(name, { bigint: true }).catch(() => undefined);
    if (stat?.ino !== inode || stat.dev !== dev) continue;
    names.push(name);
    rest = '';
  }
  return names;
}

/** How a file without a name that can be told is named. */
export function unnamed(inode: bigint): string {
  return escapeName(`(inode ${inode})`);
}
