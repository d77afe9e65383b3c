import { describe, expect, it } from 'vitest';
import { parseMountinfo } from '../system/mountinfo.ts';
import { decideRegions, parseSwapFiles, type RegionInput } from './mounts.ts';

/** A mountinfo text from short lines: id parent device root path type source. */
function mountinfo(...lines: string[]): string {
  return lines
    .map((line) => {
      const [id, parent, device, root, path, type, source] = line.split(' ');
      return `${id} ${parent} ${device} ${root} ${path} rw,relatime shared:1 - ${type} ${source} rw`;
    })
    .join('\n');
}

const disk = '27 1 254:1 / / ext4 /dev/vda1';

/** What is left out, and what is taken inside of it, as "path: why"; the topmost last. */
function decide(lines: string[], rest: Partial<RegionInput> = {}): string[] {
  const { regions } = decideRegions({
    mountinfo: mountinfo(...lines),
    swaps: '',
    sources: ['/'],
    own: [],
    excluded: () => false,
    ...rest,
  });
  return regions
    .filter(({ why }) => why !== 'source' && why !== 'swap' && !why.startsWith('backups of'))
    .map(({ path, verdict, why }) => `${verdict} ${path}: ${why}`);
}

describe('mountinfo', () => {
  it('is read with octal escapes, optional fields and bytes that are no UTF-8', () => {
    const text =
      '36 35 98:0 /mnt1 /mnt/a\\040b\\011c\\012d\\134e rw,noatime master:1 shared:2 - ext3 /dev/root\\040x rw,errors=continue\n' +
      '37 35 98:1 / /mnt/\xff - rw - ext4 /dev/sdb rw\n' +
      'nonsense\n';
    expect(parseMountinfo(text)).toEqual([
      {
        id: 36,
        parent: 35,
        device: '98:0',
        root: '/mnt1',
        path: '/mnt/a b\tc\nd\\e',
        type: 'ext3',
        source: '/dev/root x',
        options: 'rw,errors=continue',
      },
      {
        id: 37,
        parent: 35,
        device: '98:1',
        root: '/',
        path: '/mnt/\xff',
        type: 'ext4',
        source: '/dev/sdb',
        options: 'rw',
      },
    ]);
  });
});

describe('swap files in use', () => {
  it('are found, partitions are not', () => {
    const text =
      'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n' +
      '/dev/sda2                               partition\t1\t0\t-2\n' +
      '/var/my\\040swap                         file\t\t1\t0\t-3\n';
    expect(parseSwapFiles(text)).toEqual(['/var/my swap']);
    expect(
      decideRegions({ mountinfo: mountinfo(disk), swaps: text, sources: ['/'], own: [], excluded: () => false })
        .regions,
    ).toContainEqual({ path: '/var/my swap', verdict: 'leave', extent: 'whole', why: 'swap' });
  });
});

describe('what is left out of a run', () => {
  it.each<[string, string[], string[]]>([
    ['nothing of a bare disk', [], []],
    [
      'kernel file systems',
      ['28 27 0:5 / /proc proc proc', '29 27 0:6 / /sys sysfs sysfs', '30 27 0:7 / /dev devtmpfs devtmpfs'],
      [
        'leave /dev: devtmpfs: made by the kernel',
        'leave /proc: proc: made by the kernel',
        'leave /sys: sysfs: made by the kernel',
      ],
    ],
    ['memory', ['28 27 0:5 / /run tmpfs tmpfs'], ['leave /run: tmpfs: in memory only']],
    [
      'other machines',
      ['28 27 0:5 / /mnt/nas nfs4 nas:/export'],
      ['leave /mnt/nas: nfs4: the files of another machine'],
    ],
    [
      'FUSE of a program',
      ['28 27 0:5 / /home/u/cloud fuse.sshfs u@h:'],
      ['leave /home/u/cloud: fuse.sshfs: shown by a program'],
    ],
    ['not FUSE of a disk', ['28 27 8:17 / /media/stick fuseblk /dev/sdb1'], []],
    [
      'loops',
      ['28 27 7:3 / /snap/core/1 squashfs /dev/loop3'],
      ['leave /snap/core/1: squashfs on /dev/loop3: a file that is mounted'],
    ],
    [
      'overlays',
      ['28 27 0:50 / /var/lib/docker/overlay2/x/merged overlay overlay'],
      ['leave /var/lib/docker/overlay2/x/merged: overlay: its layers lie elsewhere'],
    ],
    ['not another disk', ['28 27 8:2 / /home ext4 /dev/sda2'], []],
    [
      'a bind mount',
      ['28 27 254:1 /srv/data /mnt/data ext4 /dev/vda1'],
      ['leave /mnt/data: the same files as /srv/data'],
    ],
    [
      'a bind mount of another disk',
      ['28 27 8:2 / /data ext4 /dev/sda2', '29 27 8:2 /www /srv/www ext4 /dev/sda2'],
      ['leave /srv/www: the same files as /data/www'],
    ],
    [
      'a disk that is mounted twice',
      ['28 27 8:2 / /a ext4 /dev/sda2', '29 27 8:2 / /b ext4 /dev/sda2'],
      ['leave /b: the same files as /a'],
    ],
    [
      'not a bind mount of what another mount hides',
      [
        '28 27 8:2 / /data ext4 /dev/sda2',
        '29 28 8:3 / /data/www ext4 /dev/sda3',
        '30 27 8:2 /www /srv/www ext4 /dev/sda2',
      ],
      [],
    ],
    [
      'not a bind mount of what lies in memory',
      ['28 27 0:5 / /tmp tmpfs tmpfs', '29 27 0:5 /x /srv/x tmpfs tmpfs'],
      ['leave /srv/x: tmpfs: in memory only', 'leave /tmp: tmpfs: in memory only'],
    ],
    [
      'a disk inside memory, but not the disk',
      ['28 27 0:5 / /run tmpfs tmpfs', '29 28 8:17 / /run/media/stick ext4 /dev/sdb1'],
      ['take /run/media/stick: ext4: a file system of its own', 'leave /run: tmpfs: in memory only'],
    ],
    [
      'memory inside a disk inside memory',
      [
        '28 27 0:5 / /run tmpfs tmpfs',
        '29 28 8:17 / /run/media/stick ext4 /dev/sdb1',
        '30 29 0:6 / /run/media/stick/tmp tmpfs tmpfs',
      ],
      [
        'leave /run/media/stick/tmp: tmpfs: in memory only',
        'take /run/media/stick: ext4: a file system of its own',
        'leave /run: tmpfs: in memory only',
      ],
    ],
    ['not a mount that a later one hides', ['28 27 0:5 / /data tmpfs tmpfs', '29 28 8:2 / /data ext4 /dev/sda2'], []],
    [
      'not a mount below a directory that a later mount hides',
      ['28 27 0:5 / /a/b tmpfs tmpfs', '29 27 8:2 / /a ext4 /dev/sda2'],
      [],
    ],
    [
      'names with spaces, newlines and wildcards as they are',
      ['28 27 0:5 / /mnt/a\\040*\\012[x] tmpfs tmpfs'],
      ['leave /mnt/a *\n[x]: tmpfs: in memory only'],
    ],
  ])('%s', (_, lines, expected) => {
    expect(decide([disk, ...lines])).toEqual(expected);
  });

  it('is nothing at the root, even when that is an overlay, a loop or memory', () => {
    for (const root of ['27 1 0:9 / / overlay overlay', '27 1 7:0 / / ext4 /dev/loop0', '27 1 0:9 / / tmpfs tmpfs']) {
      expect(decide([root])).toEqual([]);
    }
  });

  it('of a btrfs with subvolumes is only what is seen twice', () => {
    const root = '27 1 0:20 /@ / btrfs /dev/sda1';
    const home = '28 27 0:20 /@home /home btrfs /dev/sda1';
    expect(decide([root, home])).toEqual([]);
    // The top of the file system, mounted as well: the subvolumes in it are copied already, the rest is not.
    expect(decide([root, home, '29 27 0:20 / /mnt/top btrfs /dev/sda1'])).toEqual([
      'leave /mnt/top/@: the same files as /',
      'leave /mnt/top/@home: the same files as /home',
    ]);
  });

  it('is a bind mount only where the first place is copied', () => {
    const bind = '28 27 254:1 /srv/data /mnt/data ext4 /dev/vda1';
    expect(decide([disk, bind], { sources: ['/mnt'] })).toEqual([]);
    expect(decide([disk, bind], { excluded: (path) => path === '/srv/data' })).toEqual([]);
    expect(decide([disk, bind], { sources: ['/mnt', '/srv'] })).toEqual([
      'leave /mnt/data: the same files as /srv/data',
    ]);
  });

  it('is never a source that was named, but what is inside it may be', () => {
    const nas = '28 27 0:5 / /mnt/nas nfs4 nas:/';
    const inside = '29 28 0:6 / /mnt/nas/x/tmp tmpfs tmpfs';
    expect(decide([disk, nas], { sources: ['/mnt/nas'] })).toEqual([]);
    expect(decide([disk, nas, inside], { sources: ['/mnt/nas/x'] })).toEqual([
      'leave /mnt/nas/x/tmp: tmpfs: in memory only',
    ]);
    expect(decide([disk, nas, inside], { sources: ['/', '/mnt/nas/x'] })).toEqual([
      'leave /mnt/nas/x/tmp: tmpfs: in memory only',
      'leave /mnt/nas: nfs4: the files of another machine',
    ]);
  });

  it('is what byteback keeps for itself', () => {
    const own = [
      { path: '/byteback', why: 'a store of byteback' },
      { path: '/var/lib/byteback', why: 'own state' },
    ];
    expect(decide([disk], { own })).toEqual([
      'leave /var/lib/byteback: own state',
      'leave /byteback: a store of byteback',
    ]);
  });

  it('refuses a source that the kernel makes up', () => {
    const { refused } = decideRegions({
      mountinfo: mountinfo(disk, '28 27 0:5 / /proc proc proc'),
      swaps: '',
      sources: ['/proc/sys'],
      own: [],
      excluded: () => false,
    });
    expect(refused).toEqual([{ source: '/proc/sys', why: 'it lies on a file system made by the kernel (proc)' }]);
  });
});

describe('what is detached', () => {
  const detached = (lines: string[], rest: Partial<RegionInput> = {}) =>
    decideRegions({
      mountinfo: mountinfo(...lines),
      swaps: '',
      sources: ['/'],
      own: [],
      excluded: () => false,
      ...rest,
    }).detached;
  const lines = [
    disk,
    '28 27 0:5 / /proc proc proc',
    '29 27 0:6 / /run tmpfs tmpfs',
    '30 27 0:7 / /net nfs4 server:/x',
    '31 29 0:8 / /run/user/gvfs fuse.gvfsd-fuse gvfsd-fuse',
    '32 27 254:1 /srv /srv/a/loop ext4 /dev/vda1',
    '33 27 0:9 / /auto autofs systemd-1',
    '34 33 0:10 / /auto cifs //server/x',
    '35 27 254:2 / /data ext4 /dev/vdb1',
  ];

  it('is what can hang, refuse root or lead in a circle; one place as often as something is mounted there', () => {
    expect(detached(lines).toSorted()).toEqual(['/auto', '/auto', '/net', '/run/user/gvfs', '/srv/a/loop']);
  });

  it('never holds a source, what is taken, or what a run needs', () => {
    expect(detached(lines, { sources: ['/', '/net/x'] })).not.toContain('/net');
    expect(detached(lines, { needed: ['/auto/state'] })).not.toContain('/auto');
    expect(detached([...lines, '36 30 254:3 / /net/disk ext4 /dev/vdc1'])).not.toContain('/net');
    expect(detached(lines, { sources: ['/srv'] })).toEqual(['/srv/a/loop']);
  });
});
