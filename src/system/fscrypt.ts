import { run } from './run.ts';

/** A directory that the kernel encrypts (fscrypt), with all that is in it. */
export interface EncryptedDirectory {
  /** Absolute, as a byte string. */
  readonly path: string;
  /** Its key is not there, or is being removed: what one sees in it are cipher names, and no content. */
  readonly isLocked: boolean;
}

/**
 * Asks the kernel (linux/fscrypt.h; Documentation/filesystems/fscrypt.rst). A policy can be read with and without its key. A key of
 * version 1 may also lie in a process's own keyring, of which its status says nothing: there the first file that can be found decides,
 * as the kernel opens none without its key. Perl, which is essential in Debian, is here for the calls alone: Node has none.
 *
 * Of a scan's records only those count that lie on a file system that can encrypt, as the top of it says (ENODATA); elsewhere, and
 * that is nearly everywhere, the records are not even read.
 */
const script = String.raw`
use strict; use warnings;
use Errno qw(ENODATA); use Fcntl qw(O_RDONLY O_DIRECTORY O_NOFOLLOW O_NONBLOCK S_ISDIR S_ISREG);
my ($root, $scan) = @ARGV;
binmode STDIN; binmode STDOUT;

# The policy of a directory; a text when it has none: 'able' where its file system could.
sub policy {
    my ($directory) = @_;
    my $call = pack('Q', 24) . "\0" x 24;
    return substr($call, 8) if ioctl($directory, 0xC0096616, $call);
    return $! == ENODATA ? 'able' : 'none';
}

sub is_locked {
    my ($directory, $path, $policy) = @_;
    my $version = ord $policy;
    my $name = $version == 0 ? substr($policy, 4, 8) : substr($policy, 8, 16);
    my $call = pack('L2a32', $version == 0 ? 1 : 2, 0, $name) . "\0" x 88;
    my $status = ioctl($directory, 0xC080661A, $call) ? unpack('L', substr($call, 64, 4)) : 0;
    return 0 if $status == 2;
    return 1 if $version != 0 || $status == 3;
    my @ways = ($path);
    for (my $looked = 0; @ways && $looked < 1000; ) {
        my $way = pop @ways;
        opendir(my $names, $way) or next;
        while (defined(my $name = readdir $names)) {
            next if $name eq '.' || $name eq '..';
            $looked += 1;
            my @found = lstat "$way/$name" or next;
            push @ways, "$way/$name" if S_ISDIR($found[2]);
            next unless S_ISREG($found[2]);
            return sysopen(my $file, "$way/$name", O_RDONLY | O_NOFOLLOW | O_NONBLOCK) ? 0 : 1;
        }
    }
    return 1;
}

my (%able, %found);
sub is_inside {
    my ($path) = @_;
    while ($path =~ s{/[^/]*\z}{}s && $path ne '') { return 1 if $found{$path} }
    return 0;
}

sub look {
    my ($path) = @_;
    return if $found{$path} || (%found && is_inside($path));
    sysopen(my $directory, "$root$path", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK) or return;
    my $policy = policy($directory);
    my $device = (stat $directory)[0];
    $able{$device} = 1 if $policy ne 'none';
    return if $policy eq 'none' || $policy eq 'able';
    print is_locked($directory, "$root$path", $policy) ? 'locked ' : 'open ', $path, "\0";
    $found{$path} = 1;
}

{
    local $/ = "\0";
    my @tops = <STDIN>;
    chomp @tops;
    look($_) for @tops;
    exit 0 unless defined $scan && %able;
    # In the order of the records a directory comes before what lies in it.
    open(my $records, '<', $scan) or die "$!\n";
    binmode $records;
    while (my $record = <$records>) {
        my ($path, $device) = $record =~ /^(.*)\x01d \S+ \S+ \S+ (\d+):/s or next;
        look($path) if $able{$device};
    }
}
`;

/** A policy is asked for in memory; whatever takes longer than this is stuck. */
const patienceMs = 15_000;

async function ask(
  paths: readonly string[],
  argv: readonly string[],
  timeoutMs: number,
): Promise<EncryptedDirectory[]> {
  if (paths.length === 0) return [];
  const input = Buffer.from(paths.map((path) => `${path}\0`).join(''), 'latin1');
  const { stdout } = await run(['perl', '-e', script, '--', ...argv], { input, timeoutMs });
  const found = new Map<string, EncryptedDirectory>();
  for (const line of stdout.toString('latin1').split('\0')) {
    const [, state, path] = /^(open|locked) (.*)$/s.exec(line) ?? [];
    if (path !== undefined) found.set(path, { path, isLocked: state === 'locked' });
  }
  return [...found.values()];
}

/**
 * The topmost encrypted directories of a tree.
 * @param tops where file systems of the tree begin, as byte strings
 * @param scanFile its sorted records
 * @param root put before each path (see MountSpace)
 */
export async function findEncrypted(
  tops: readonly string[],
  scanFile: string,
  root: string,
): Promise<readonly EncryptedDirectory[]> {
  return await ask(tops, [root, scanFile], 0);
}

/** What of some directories is encrypted now. */
export async function lookAtEncrypted(paths: readonly string[], root: string): Promise<readonly EncryptedDirectory[]> {
  return await ask(paths, [root], patienceMs);
}
