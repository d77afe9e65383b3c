import { describe, expect, it } from 'vitest';
import { mountsOf } from './collect.ts';

describe('mounts in the manifest', () => {
  const disk = (path: string, type = 'part') => ({ path, type, sizeBytes: 1, on: [] });
  const line = (path: string, type: string, source: string, options: string) =>
    `36 35 98:0 / ${path} rw,relatime shared:2 - ${type} ${source} ${options}`;

  it('are those of disks, and say what a FAT has to be mounted with again', () => {
    const mountinfo = [
      line('/', 'ext4', '/dev/sda2', 'rw,errors=remount-ro'),
      line('/boot/efi', 'vfat', '/dev/sda1', 'rw,uid=7,fmask=0077,dmask=0077,codepage=437,utf8,errors=remount-ro'),
      line('/proc', 'proc', 'proc', 'rw'),
      line('/snap/x', 'squashfs', '/dev/loop0', 'ro'),
      line('/srv/image', 'ext4', '/dev/loop1', 'rw'),
    ].join('\n');
    const devices = [disk('/dev/sda1'), disk('/dev/sda2'), disk('/dev/loop0', 'loop'), disk('/dev/loop1', 'loop')];
    const [root, efi] = [
      { path: '/', device: '/dev/sda2', root: '/' },
      { path: '/boot/efi', device: '/dev/sda1', root: '/', options: 'uid=7,fmask=0077,dmask=0077' },
    ];
    expect(mountsOf(mountinfo, devices, ['/'])).toEqual([root, efi]);
    expect(mountsOf(mountinfo, devices, ['/', '/srv/image'])).toEqual([
      root,
      efi,
      { path: '/srv/image', device: '/dev/loop1', root: '/' },
    ]);
  });
});
