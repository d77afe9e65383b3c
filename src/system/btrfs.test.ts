import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { isBtrfs, parseUsage, requireBtrfs } from './btrfs.ts';

const usage = `Overall:
    Device size:\t\t        2147483648
    Device allocated:\t\t         239861760
    Device unallocated:\t\t        1907621888
    Device missing:\t\t                 0
    Device slack:\t\t                 0
    Used:\t\t\t            294912
    Free (estimated):\t\t        1916010496\t(min: 962199552)
    Free (statfs, df):\t\t        1914961920
    Data ratio:\t\t\t              1.00
    Metadata ratio:\t\t              2.00
    Global reserve:\t\t           5767168\t(used: 0)
    Multiple profiles:\t\t                no

Data,single: Size:8388608, Used:0 (0.00%)
   /dev/loop0\t   8388608

Metadata,DUP: Size:107347968, Used:131072 (0.12%)
   /dev/loop0\t 214695936

System,DUP: Size:8388608, Used:16384 (0.20%)
   /dev/loop0\t  16777216
`;

describe('btrfs filesystem usage', () => {
  it('is read to the byte', () => {
    expect(parseUsage(usage)).toEqual({
      deviceSizeBytes: 2_147_483_648,
      unallocatedBytes: 1_907_621_888,
      usedBytes: 294_912,
      freeBytes: 1_916_010_496,
      freeMinBytes: 962_199_552,
      metadataSizeBytes: 107_347_968,
      metadataUsedBytes: 131_072,
      globalReserveBytes: 5_767_168,
    });
  });

  it('is read where data and metadata are mixed', () => {
    const mixed = usage.replace(/^Data,.*\n.*\n\n/m, '').replace('Metadata,DUP:', 'Data+Metadata,single:');
    expect(parseUsage(mixed).metadataSizeBytes).toBe(107_347_968);
  });

  it('names the figure that is missing', () => {
    expect(() => parseUsage(usage.replace('unallocated', 'unknown'))).toThrow('cannot read');
  });
});

describe('what is btrfs', () => {
  it('asks the kernel', async () => {
    expect(await isBtrfs('/proc')).toBe(false);
    await expect(requireBtrfs('/proc')).rejects.toMatchObject({ exit: 'notBtrfs' });
    await expect(isBtrfs(`${tmpdir()}/missing-for-sure`)).rejects.toThrow('ENOENT');
  });
});
