import { describe, expect, it } from 'vitest';
import { type Device, type Machine, parseMachine } from '../../protocol/machine.ts';
import { parseSnapshotName } from '../../protocol/names.ts';
import { run } from '../../system/run.ts';
import { word } from './disks.ts';
import { parseBlkid, parseLsblk } from './lsblk.ts';
import { recipeOf } from './recipe.ts';

const snapshot = parseSnapshotName('2026-11-20T030000Z');
if (snapshot === undefined) throw new Error('a name');
const facts = { snapshot, client: 'web1', destination: 'byteback@vault:' };

function machineOf(devices: Device[], mounts: Machine['mounts'], more: Partial<Machine> = {}): Machine {
  return {
    format: 1,
    hostname: 'web1',
    system: 'Debian GNU/Linux 12 (bookworm)',
    kernel: '6.1.0-18-amd64',
    architecture: 'x64',
    firmware: 'bios',
    bootLoader: 'grub',
    initramfs: 'update-initramfs',
    sources: ['/'],
    devices,
    mounts,
    texts: { partitionTables: [] },
    packages: ['bash 5.2'],
    packageManager: 'dpkg',
    missing: [],
    ...more,
  };
}

/** The lines that are typed: no remarks, nothing empty. */
const commandsOf = (recipe: string) => recipe.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

/** UEFI, an encrypted disk with LVM on it: as the installer of Debian makes it. */
const encrypted = {
  blockdevices: [
    {
      path: '/dev/nvme0n1',
      type: 'disk',
      size: 512_110_190_592,
      pttype: 'gpt',
      ptuuid: 'b8a0c9a2-0000-4000-8000-000000000001',
      children: [
        {
          path: '/dev/nvme0n1p1',
          type: 'part',
          size: 536_870_912,
          start: 2048,
          fstype: 'vfat',
          uuid: 'ABCD-1234',
          pttype: 'gpt',
          parttype: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
          partuuid: '11111111-0000-4000-8000-000000000001',
          partlabel: 'EFI System',
          partn: 1,
        },
        {
          path: '/dev/nvme0n1p2',
          type: 'part',
          size: 511_000_000_000,
          start: 1_050_624,
          fstype: 'crypto_LUKS',
          uuid: 'cccccccc-0000-4000-8000-000000000002',
          partn: 2,
          children: [
            {
              path: '/dev/mapper/crypt',
              type: 'crypt',
              size: 510_000_000_000,
              fstype: 'LVM2_member',
              uuid: 'PvPvPv-0000',
              children: [
                {
                  path: '/dev/mapper/my--vg-root',
                  type: 'lvm',
                  size: 500_000_000_000,
                  fstype: 'ext4',
                  uuid: 'dddddddd-0000-4000-8000-000000000003',
                  label: 'the root',
                },
                { path: '/dev/mapper/my--vg-swap_1', type: 'lvm', size: 1_000_000_000, fstype: 'swap', uuid: 'eeee' },
              ],
            },
          ],
        },
      ],
    },
  ],
};

describe('what lsblk says', () => {
  it('becomes a list in which each device comes after all that it lies on', () => {
    const half = (letter: string) => ({
      path: `/dev/sd${letter}`,
      type: 'disk',
      size: '1000',
      fstype: 'linux_raid_member',
      children: [{ path: '/dev/md0', type: 'raid1', size: 900, fstype: 'ext4', uuid: 'ffff' }],
    });
    const devices = parseLsblk(JSON.stringify({ blockdevices: [half('a'), half('b')] }));
    expect(devices.map(({ path, on }) => [path, on])).toEqual([
      ['/dev/sda', []],
      ['/dev/sdb', []],
      ['/dev/md0', ['/dev/sda', '/dev/sdb']],
    ]);
    expect(devices[0]?.sizeBytes).toBe(1000);
  });

  it('is filled up with what blkid finds', () => {
    const found = parseBlkid(
      'DEVNAME=/dev/loop0\nLABEL=my\\ disk\nUUID=1-2\nTYPE=ext4\n\nDEVNAME=/dev/sda\nPTTYPE=dos\nPTUUID=ab\n',
    );
    expect(found.get('/dev/loop0')).toEqual({ fileSystem: { type: 'ext4', uuid: '1-2', label: 'my disk' } });
    expect(found.get('/dev/sda')).toEqual({ table: { type: 'dos', id: 'ab' } });
  });
});

describe('the recipe', () => {
  it('makes an encrypted machine with LVM from the bottom up, with the old ids', () => {
    const machine = machineOf(
      parseLsblk(JSON.stringify(encrypted)),
      [
        { path: '/', device: '/dev/mapper/my--vg-root', root: '/' },
        { path: '/boot/efi', device: '/dev/nvme0n1p1', root: '/', options: 'fmask=0077,dmask=0077' },
      ],
      { firmware: 'uefi' },
    );
    expect(parseMachine(JSON.stringify(machine))).toEqual(machine);
    const commands = commandsOf(recipeOf(machine, facts));
    expect(commands.slice(0, commands.indexOf('END') + 1)).toEqual([
      "sfdisk --wipe always /dev/nvme0n1 <<'END'",
      'label: gpt',
      'label-id: b8a0c9a2-0000-4000-8000-000000000001',
      'unit: sectors',
      '1 : start=2048, size=1048576, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, uuid=11111111-0000-4000-8000-000000000001, name="EFI System"',
      '2 : start=1050624, size=998046875',
      'END',
    ]);
    expect(commands.slice(commands.indexOf('END') + 1)).toEqual([
      'mkfs.vfat -i ABCD1234 /dev/nvme0n1p1',
      'cryptsetup luksFormat --uuid cccccccc-0000-4000-8000-000000000002 /dev/nvme0n1p2',
      'cryptsetup open /dev/nvme0n1p2 crypt',
      'pvcreate --yes --norestorefile --uuid PvPvPv-0000 /dev/mapper/crypt',
      'vgcreate my-vg /dev/mapper/crypt',
      'lvcreate --yes --wipesignatures y --name root --size 500000000000b my-vg',
      "mkfs.ext4 -q -F -U dddddddd-0000-4000-8000-000000000003 -L 'the root' /dev/mapper/my--vg-root",
      'lvcreate --yes --wipesignatures y --name swap_1 --size 1000000000b my-vg',
      'mkswap -U eeee /dev/mapper/my--vg-swap_1',
      'mkdir -p /mnt/target && mount /dev/mapper/my--vg-root /mnt/target',
      'mkdir -p /mnt/target/boot/efi && mount -o fmask=0077,dmask=0077 /dev/nvme0n1p1 /mnt/target/boot/efi',
      'byteback-restore --restore --all-files --snapshot 2026-11-20T030000Z --to /mnt/target',
      'cp -a /etc/byteback/key /etc/byteback/key.pub /etc/byteback/known_hosts /etc/byteback/ssh_config /mnt/target/etc/byteback/',
      'for d in dev proc sys run; do mkdir -p /mnt/target/$d && mount --rbind --make-rslave /$d /mnt/target/$d; done',
      'mkdir -p -m 1777 /mnt/target/tmp',
      'chroot /mnt/target update-initramfs -u -k all',
      'chroot /mnt/target grub-install',
      "chroot /mnt/target sh -c 'update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg'",
      'umount -R /mnt/target',
      'reboot',
    ]);
  });

  it("makes a mirror, with sfdisk's own words, and installs the boot loader on both disks", () => {
    const disk = (letter: string) => ({
      path: `/dev/sd${letter}`,
      type: 'disk',
      size: 10_000_000,
      pttype: 'dos',
      children: [
        {
          path: `/dev/sd${letter}1`,
          type: 'part',
          size: 9_000_000,
          start: 2048,
          fstype: 'linux_raid_member',
          children: [{ path: '/dev/md0', type: 'raid1', size: 8_000_000, fstype: 'xfs', uuid: 'aaaa-bb' }],
        },
      ],
    });
    const machine = machineOf(
      parseLsblk(JSON.stringify({ blockdevices: [disk('a'), disk('b')] })),
      [{ path: '/', device: '/dev/md0', root: '/' }],
      {
        texts: {
          partitionTables: [
            { device: '/dev/sda', dump: 'label: dos\n/dev/sda1 : start=2048, size=17578, type=fd\nEND\n' },
          ],
          raid: 'ARRAY /dev/md0 metadata=1.2 name=web1:0 UUID=01:02:03:04\n',
        },
      },
    );
    const recipe = recipeOf(machine, facts);
    expect(recipe).toContain(
      "sfdisk --wipe always /dev/sda <<'END'\nlabel: dos\n/dev/sda1 : start=2048, size=17578, type=fd\nEND\n",
    );
    expect(recipe).toContain(
      'mdadm --create --run /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --uuid=01:02:03:04 /dev/sda1 /dev/sdb1\nmkfs.xfs -f -m uuid=aaaa-bb /dev/md0',
    );
    expect(recipe).toContain('chroot /mnt/target grub-install /dev/sda\nchroot /mnt/target grub-install /dev/sdb');
  });

  it('makes the subvolumes of a btrfs', () => {
    const machine = machineOf(
      [{ path: '/dev/vda', type: 'disk', sizeBytes: 1e9, on: [], fileSystem: { type: 'btrfs', uuid: 'u' } }],
      [
        { path: '/', device: '/dev/vda', root: '/@' },
        { path: '/home', device: '/dev/vda', root: '/@home' },
      ],
    );
    expect(commandsOf(recipeOf(machine, facts)).slice(0, 7)).toEqual([
      'mkfs.btrfs -q -f -U u /dev/vda',
      'mkdir -p /mnt/target.new && mount /dev/vda /mnt/target.new',
      'btrfs subvolume create /mnt/target.new/@ && umount /mnt/target.new',
      'mkdir -p /mnt/target && mount -o subvol=/@ /dev/vda /mnt/target',
      'mkdir -p /mnt/target.new && mount /dev/vda /mnt/target.new',
      'btrfs subvolume create /mnt/target.new/@home && umount /mnt/target.new',
      'mkdir -p /mnt/target/home && mount -o subvol=/@home /dev/vda /mnt/target/home',
    ]);
  });

  it('says when only a part of the machine is in the backup', () => {
    const recipe = recipeOf(machineOf([], [], { sources: ['/srv'] }), { ...facts, client: undefined });
    expect(recipe).toContain('# Only this of it is in the backup: /srv.');
    expect(recipe).toContain('byteback client invite NAME --replace');
    expect(recipe).not.toContain('grub-install');
  });

  it('passes nothing of a hostile manifest to the shell', async () => {
    const evil = "x'; touch /tmp/evil; $(touch /tmp/evil) `touch /tmp/evil`\ntouch /tmp/evil\n\u001b[2J";
    const machine = machineOf(
      [
        { path: `/dev/${evil}`, type: 'disk', sizeBytes: 1, on: [], table: { type: evil, id: evil } },
        {
          path: evil,
          type: 'part',
          sizeBytes: 1,
          on: [`/dev/${evil}`],
          fileSystem: { type: 'ext4', uuid: evil, label: evil },
          partition: { number: 1, label: evil, type: 'END\ntouch /tmp/evil' },
        },
        { path: `/dev/mapper/${evil}-${evil}`, type: 'lvm', sizeBytes: 1, on: [evil], fileSystem: { type: evil } },
        { path: `/dev/md${evil}`, type: 'raid1', sizeBytes: 1, on: [evil] },
      ],
      [{ path: `/${evil}`, device: evil, root: `/${evil}` }],
      {
        hostname: evil,
        system: evil,
        kernel: evil,
        missing: [evil],
        texts: { partitionTables: [{ device: `/dev/${evil}`, dump: `${evil}\nEND\ntouch /tmp/evil` }] },
      },
    );
    const recipe = recipeOf(machine, facts);
    expect(recipe).not.toContain('\u001b');
    // Every program of it is replaced by one that only says what it was given.
    const names = [
      'sfdisk',
      'mkfs.ext4',
      'mkdir',
      'mount',
      'vgcreate',
      'lvcreate',
      'mdadm',
      'chroot',
      'cp',
      'umount',
      'reboot',
      'byteback-restore',
    ];
    const functions = names.map((name) => `${name.replace('.', '_')}() { :; }`).join('\n');
    const script = `touch() { echo EVIL; }\n${functions}\n${recipe.replaceAll('mkfs.ext4', 'mkfs_ext4')}`;
    // Where a word gets out of its quotes it is run, or is no command that can be found.
    const shell = await run(['/bin/bash', '-c', script], { env: { PATH: '/nowhere' }, accept: [0, 1, 2, 127] });
    expect(shell.stderr).toBe('');
    expect(shell.stdout.toString()).toBe('');
    expect(word("a'b c")).toBe("'a'\\''b c'");
  });
});
