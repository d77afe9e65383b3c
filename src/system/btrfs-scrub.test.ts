import { describe, expect, it } from 'vitest';
import { badAddressesIn, parseScrubCounts, sectorsAt } from './btrfs-scrub.ts';
import { parseKernelRecord } from './kernel-log.ts';

describe('what a scrub says', () => {
  it('is summed up over all devices', () => {
    const device =
      '\tdata_bytes_scrubbed: 614400\n\ttree_bytes_scrubbed: 360448\n\tread_errors: 1\n\tcsum_errors: 2\n\tverify_errors: 0\n\tsuper_errors: 0\n\tuncorrectable_errors: 2\n\tcorrected_errors: 1\n';
    expect(parseScrubCounts(`${device}${device}`)).toEqual({
      scrubbedBytes: 2 * 974_848,
      errors: 6,
      corrected: 2,
      uncorrectable: 4,
    });
  });

  it('is in the log of the kernel, of its own devices only', () => {
    const error = 'unable to fixup (regular) error at logical';
    const messages = [
      `BTRFS error (device loop6): scrub: ${error} 13631488 on dev /dev/loop6 physical 13631488`,
      `BTRFS error (device loop6 state C): ${error} 4096 on dev /dev/loop6 physical 1`,
      `BTRFS error (device loop7): scrub: ${error} 8192 on dev /dev/loop7 physical 8192`,
      'BTRFS error (device loop6): scrub: fixed up error at logical 12288 on dev /dev/loop6 physical 12288',
      `BTRFS warning (device loop6): checksum error at logical 1 (path: fs/BTRFS error (device loop6): ${error} 5 on dev x)`,
    ];
    expect(badAddressesIn(messages, new Set(['loop6']))).toEqual([13631488n, 4096n]);
  });

  it('comes in records, in which a name cannot begin another', () => {
    expect(parseKernelRecord('3,339,5140900,-;BTRFS error\n SUBSYSTEM=block\n')).toEqual({
      sequence: 339,
      text: 'BTRFS error',
    });
    expect(parseKernelRecord('nothing')).toBeUndefined();
  });

  it('may mean any sector of 64 KiB', () => {
    expect(sectorsAt(65_536n)).toHaveLength(16);
    expect(sectorsAt(65_536n).at(-1)).toBe(65_536n + 61_440n);
    expect(sectorsAt(69_632n)).toEqual([69_632n]);
  });
});
