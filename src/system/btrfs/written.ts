import { BytebackError } from '../../errors.ts';
import { ProgramError, run } from '../run.ts';

/**
 * Asks the kernel for the items of a subvolume's tree that are newer than a transaction (BTRFS_IOC_TREE_SEARCH_V2; linux/btrfs.h and
 * btrfs_tree.h), as `btrfs subvolume find-new` does, and prints two numbers: the transaction that the subvolume is of, and the bytes
 * that were written. `find-new` itself prints file names as they are: a name with a line end in it words lines of its own.
 * Perl, which is essential in Debian, is here for the call alone, as it is for simple quotas: Node has none.
 */
const script = String.raw`
use strict; use warnings;
my ($path, $after) = @ARGV;
open(my $tree, '<', $path) or die "$!\n";

# Calls back with kind, object and content of each item from a key on, in the order of keys.
sub items {
    my ($number, $object, $last, $types, $newer, $each) = @_;
    my ($type, $offset) = ($types->[0], 0);
    my $room = 262144;
    while (1) {
        my $call = pack('Q7L4Q4Q', $number, $object, $last, $offset, ~0, $newer, ~0, $type, $types->[1], 4294967295, 0,
            0, 0, 0, 0, $room) . "\0" x $room;
        defined(ioctl($tree, 0xC0709411, $call)) or die "$!\n";
        my $count = unpack('L', substr($call, 64, 4));
        return if $count == 0;
        my $at = 112;
        for (1 .. $count) {
            (my $generation, $object, $offset, $type, my $length) = unpack('Q3L2', substr($call, $at, 32));
            $each->($type, $object, substr($call, $at + 32, $length));
            $at += 32 + $length;
        }
        if ($offset != ~0) { $offset += 1; next }
        $offset = 0;
        if ($type < 255) { $type += 1; next }
        $type = 0;
        return if $object == ~0;
        $object += 1;
    }
}

my $lookup = pack('QQ', 0, 256) . "\0" x 4080;
defined(ioctl($tree, 0xD0009412, $lookup)) or die "$!\n";
my $number = unpack('Q', $lookup);
my $generation = 0;
items(1, $number, $number, [132, 132], 0, sub {
    my $its = unpack('Q', substr($_[2], 160, 8));
    $generation = $its if $its > $generation;
});
die "it has no root\n" if $generation == 0;

my $bytes = 0;
my ($new, %seen) = (0);
if (defined $after) {
    items(0, 256, ~0 - 255, [0, 108], $after + 1, sub {
        my ($type, $object, $content) = @_;
        # A file that is new: what its name, attributes and place take of the metadata.
        if ($type == 1) { $new = unpack('Q', $content) > $after ? $object : 0 }
        if ($type == 84 || $type == 96) {
            $bytes += 25 + length $content if unpack('Q', substr($content, 17, 8)) > $after;
            return;
        }
        if ($type != 108) { $bytes += 25 + length $content if $object == $new; return }
        my ($its, $inMemory, $compression, $kind) = unpack('QQCx3C', $content);
        return if $its <= $after;
        # Content that lies in the metadata.
        if ($kind == 0) { $bytes += 25 + 21 + $inMemory; return }
        my ($start, $onDisk) = unpack('QQ', substr($content, 21, 16));
        # A hole.
        return if $start == 0;
        # Each extent once and as a whole, however many files or parts of files share it: a bit for each 4 KiB of the disk.
        my ($gibibyte, $block) = ($start >> 30, ($start >> 12) & 0x3FFFF);
        $seen{$gibibyte} //= "\0" x 32768;
        return if vec($seen{$gibibyte}, $block, 1);
        vec($seen{$gibibyte}, $block, 1) = 1;
        $bytes += $compression == 0 ? $onDisk : $inMemory;
    });
}
print "$generation $bytes\n";
`;

async function ask(
  snapshot: string,
  after: readonly string[],
  timeoutMs: number,
): Promise<{ generation: number; bytes: number }> {
  const { stdout } = await run(['perl', '-e', script, '--', snapshot, ...after], { timeoutMs });
  const [, generation, bytes] = /^(\d{1,15}) (\d{1,15})\n$/.exec(stdout.toString('latin1')) ?? [];
  if (generation === undefined || bytes === undefined) {
    throw new BytebackError('bug', { what: `cannot tell what was written to ${snapshot}`, why: 'no figures came' });
  }
  return { generation: Number(generation), bytes: Number(bytes) };
}

/** The transaction that a snapshot is of: what is written later has a higher number. Needs root. */
export async function generationOf(snapshot: string): Promise<number> {
  return (await ask(snapshot, [], 60_000)).generation;
}

/**
 * Bytes that were written to a snapshot after a transaction: file content before compression, each extent once, however many files
 * share it, and what new files take of the metadata, content that lies there included. Reads only the part of the tree that changed.
 * Needs root.
 * @returns also the transaction that the snapshot itself is of; undefined when it takes longer than the time that is given.
 */
export async function bytesWrittenSince(
  snapshot: string,
  generation: number,
  timeoutMs: number,
): Promise<{ bytes: number; generation: number } | undefined> {
  try {
    return await ask(snapshot, [String(generation)], timeoutMs);
  } catch (error) {
    const isOver = error instanceof ProgramError && error.exitCodeOfProgram === undefined && !error.notFound;
    if (isOver) return undefined;
    throw error;
  }
}
