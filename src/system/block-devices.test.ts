import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { looksEmpty, parseBlkid } from './block-devices.ts';

describe('what blkid prints', () => {
  it('is a file system or a partition table', () => {
    expect(parseBlkid('DEVNAME=/dev/sdb\nLABEL=a=b\nUUID=1234\nTYPE=btrfs\n')).toEqual({ type: 'btrfs', uuid: '1234' });
    expect(parseBlkid('DEVNAME=/dev/sdb\nPTUUID=1\nPTTYPE=gpt\n')).toEqual({ partitionTable: 'gpt' });
    expect(parseBlkid('')).toEqual({});
  });
});

describe('an image', () => {
  const size = 40 * 1024 * 1024;
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'byteback-image-'));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  it.each([
    ['nothing', undefined, true],
    ['a byte at its start', 0, false],
    ['a byte within the first megabytes', 12_345_678, false],
    ['a byte at its end', size - 1, false],
  ])('with %s', async (_what, position, expected) => {
    const path = join(directory, 'image');
    await writeFile(path, '');
    await truncate(path, size);
    if (position !== undefined) {
      const file = await open(path, 'r+');
      await file.write(Buffer.from('x'), 0, 1, position);
      await file.close();
    }
    expect(await looksEmpty(path)).toBe(expected);
  });

  it('without any bytes looks empty', async () => {
    await writeFile(join(directory, 'none'), '');
    expect(await looksEmpty(join(directory, 'none'))).toBe(true);
  });
});
