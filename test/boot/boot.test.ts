import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';
import { outside, VirtualMachine, type VirtualMachineOptions } from './virtual-machine.ts';

// A machine is lost, and made anew on an empty disk by the recipe of its last snapshot, which is followed to the word in a
// rescue system. Then it boots, is what it was, and goes on with its backups.
const { BYTEBACK_BOOT_TREE: tree = '', BYTEBACK_BOOT_WORK: work = '' } = process.env;
const key = join(work, 'key');
const rescueDisk = join(work, 'rescue.img');
let server: InstalledMachine;
let kernel: { file: string; initrd: string; root: string };
const started: VirtualMachine[] = [];

/** A system with byteback's packages for clients in it, on a disk without partitions. */
async function makeRescueDisk(): Promise<void> {
  const root = join(work, 'root');
  await must(['cp', '-a', tree, root]);
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
  await mkdir(join(root, 'root/.ssh'), { mode: 0o700, recursive: true });
  await copyFile(`${key}.pub`, join(root, 'root/.ssh/authorized_keys'));
  await writeFile(join(root, 'etc/hostname'), 'rescue\n');
  await writeFile(join(root, 'etc/systemd/network/any.network'), '[Match]\nType=ether\n[Network]\nDHCP=yes\n');
  await writeFile(
    join(root, 'etc/default/grub'),
    'GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX="console=ttyS0 mitigations=off"\n',
  );
  const packages = (await readdir('dist')).filter((name) => /^byteback(-client|-runtime)?_.*\.deb$/.test(name));
  for (const name of packages) await copyFile(join('dist', name), join(root, 'root', name));
  await must(['mount', '--bind', '/proc', join(root, 'proc')]);
  await must(['chroot', root, 'systemctl', 'enable', 'systemd-networkd', 'ssh']);
  await must(['chroot', root, 'dpkg', '--install', ...packages.map((name) => `/root/${name}`)]);
  await must(['umount', join(root, 'proc')]);
  for (const name of packages) await rm(join(root, 'root', name));
  const boot = await readdir(join(root, 'boot'));
  const find = (start: string) => boot.find((name) => name.startsWith(start)) ?? '';
  await copyFile(join(root, 'boot', find('vmlinuz-')), join(work, 'vmlinuz'));
  await copyFile(join(root, 'boot', find('initrd.img-')), join(work, 'initrd'));
  await newDisk(rescueDisk, 2);
  await must(['mkfs.ext4', '-q', '-F', '-L', 'rescue', '-d', root, rescueDisk]);
  await rm(root, { recursive: true });
  kernel = { file: join(work, 'vmlinuz'), initrd: join(work, 'initrd'), root: 'LABEL=rescue' };
}

async function newDisk(file: string, gib: number): Promise<void> {
  await rm(file, { force: true });
  await writeFile(file, '');
  await truncate(file, gib * 1024 ** 3);
}

async function start(
  name: string,
  options: Pick<VirtualMachineOptions, 'disks' | 'uefiVariables'> & { readonly isRescue?: boolean },
): Promise<VirtualMachine> {
  const { disks, uefiVariables, isRescue = false } = options;
  const vm = await VirtualMachine.start(name, {
    directory: work,
    key,
    uefiVariables,
    disks: isRescue ? [...disks, rescueDisk] : disks,
    ...(isRescue ? { kernel } : {}),
  });
  started.push(vm);
  return vm;
}

interface Layout {
  readonly name: string;
  readonly uefi: boolean;
  /** Makes the disk /dev/vda and mounts it below /mnt. */
  readonly disk: string;
  readonly fstab: string;
  readonly loader: string;
}

const layouts: Layout[] = [
  {
    name: 'bios',
    uefi: false,
    disk: `sfdisk -q /dev/vda <<'END'
label: gpt
size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name="for GRUB"
size=128MiB, type=swap
type=linux
END
udevadm settle
mkswap -q /dev/vda2
mkfs.ext4 -q -L 'the root' /dev/vda3
mount /dev/vda3 /mnt`,
    fstab: `UUID=$(blkid -o value -s UUID /dev/vda3) / ext4 errors=remount-ro 0 1
UUID=$(blkid -o value -s UUID /dev/vda2) none swap sw 0 0`,
    loader: 'grub-install /dev/vda',
  },
  {
    name: 'uefi-lvm',
    uefi: true,
    disk: `sfdisk -q /dev/vda <<'END'
label: gpt
size=64MiB, type=uefi, name="EFI System"
size=256MiB, type=linux
type=lvm
END
udevadm settle
mkfs.vfat -n ESP /dev/vda1
mkfs.ext4 -q /dev/vda2
pvcreate -q /dev/vda3
vgcreate -q the-vg /dev/vda3
lvcreate -q --yes --name swap_1 --size 128M the-vg
lvcreate -q --yes --name root --extents 100%FREE the-vg
mkswap -q /dev/the-vg/swap_1
mkfs.ext4 -q /dev/the-vg/root
mount /dev/the-vg/root /mnt
mkdir /mnt/boot
mount /dev/vda2 /mnt/boot
mkdir /mnt/boot/efi
mount /dev/vda1 /mnt/boot/efi`,
    fstab: `/dev/mapper/the--vg-root / ext4 errors=remount-ro 0 1
UUID=$(blkid -o value -s UUID /dev/vda2) /boot ext4 defaults 0 2
UUID=$(blkid -o value -s UUID /dev/vda1) /boot/efi vfat umask=0077 0 1
/dev/mapper/the--vg-swap_1 none swap sw 0 0`,
    loader: 'grub-install',
  },
];

/** Installs the machine that will be lost, out of the rescue system itself. */
const installation = ({ name, disk, fstab, loader }: Layout, marker: string) => `
exec >&2
${disk}
cp -ax /. /mnt/
cat >/mnt/etc/fstab <<END
${fstab}
END
echo ${name} >/mnt/etc/hostname
rm -f /mnt/etc/machine-id /mnt/etc/ssh/ssh_host_*
systemd-machine-id-setup --root=/mnt
ssh-keygen -q -A -f /mnt
echo ${marker} >/mnt/etc/marker
cat >/mnt/etc/systemd/system/marker.service <<'END'
[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh -c 'cat /etc/marker >/dev/ttyS0'
[Install]
WantedBy=multi-user.target
END
for d in dev proc sys run; do mount --rbind --make-rslave /$d /mnt/$d; done
chroot /mnt systemctl enable marker
chroot /mnt ${loader}
chroot /mnt update-grub
umount -R /mnt
`;

const ids = 'lsblk --noheadings --output NAME,FSTYPE,UUID,PARTUUID,PARTLABEL,LABEL,MOUNTPOINTS /dev/vda';

async function inviteLine(name: string, ...more: string[]): Promise<string> {
  const argv = ['byteback', 'client', 'invite', name, ...more, '--host', outside, '--port', String(server.port)];
  const [line, token] = (await must(argv)).stdout.trim().split('\n');
  return `echo ${token} | ${line}`;
}

beforeAll(async () => {
  server = await installedMachine({ size: '4G' });
  await makeRescueDisk();
});
afterAll(async () => {
  for (const vm of started) await vm.kill();
  await server?.dispose();
});

describe.each(layouts)('a lost machine, $name', (layout) => {
  const { name, uefi } = layout;
  const marker = `marker-${randomBytes(12).toString('hex')}`;
  const oldDisk = join(work, `${name}-old.img`);
  const newOne = join(work, `${name}-new.img`);
  const variables = async (which: string) => {
    if (!uefi) return undefined;
    const file = join(work, `${name}-${which}.vars`);
    await copyFile('/usr/share/OVMF/OVMF_VARS_4M.fd', file);
    return file;
  };
  let recipe = '';
  let before = '';

  it('is backed up', async () => {
    await newDisk(oldDisk, 3);
    const uefiVariables = await variables('old');
    const installer = await start(`${name}-install`, { disks: [oldDisk], uefiVariables, isRescue: true });
    await installer.untilUp();
    await installer.must(installation(layout, marker));
    await installer.powerOff();
    const lost = await start(`${name}-lost`, { disks: [oldDisk], uefiVariables });
    await lost.untilUp();
    await lost.must(`${await inviteLine(name)} >&2`);
    await lost.must('byteback-backup >&2');
    before = await lost.must(ids);
    recipe = await lost.must('byteback-restore --machine');
    await lost.powerOff();
    await rm(oldDisk);
  });

  it('is made anew by its recipe, to the word', async () => {
    await newDisk(newOne, 3);
    const uefiVariables = await variables('new');
    const rescue = await start(`${name}-rescue`, { disks: [newOne], uefiVariables, isRescue: true });
    await rescue.untilUp();
    await rescue.must(`${await inviteLine(name, '--replace')} >&2`);
    // On the new machine the recipe can be asked for, too; and it is the same.
    expect(await rescue.must('byteback-restore --machine')).toBe(recipe);
    expect(recipe).toMatch(/\nreboot\n+$/);
    await rescue.must(`cat >/root/recipe <<'END OF RECIPE'\n${recipe.replace(/\nreboot\n+$/, '\n')}END OF RECIPE`);
    const followed = await rescue.run('bash -eux /root/recipe </dev/null');
    expect(followed, `${followed.stdout}\n${followed.stderr}`).toMatchObject({ exitCode: 0 });
    // What the recipe unmounted was the new disk, and nothing of the rescue system.
    await rescue.must('for d in /dev/pts /dev/shm /proc /sys /sys/fs/cgroup /run/lock; do mountpoint $d; done');
    expect((await rescue.run('findmnt --noheadings /mnt/target')).exitCode).toBe(1);
    await rescue.run('reboot');
    await rescue.untilDown();

    const made = await start(`${name}-new`, { disks: [newOne], uefiVariables });
    await made.until('the marker', async () => (await made.serial()).includes(marker));
    await made.untilUp();
    expect(await made.must('cat /etc/hostname /etc/marker')).toBe(`${name}\n${marker}\n`);
    expect(await made.must(ids)).toBe(before);
    expect((await made.run('systemctl is-system-running --wait; systemctl --failed --plain --no-legend')).stdout).toBe(
      'running\n',
    );
    expect(await made.must('swapon --noheadings --show=TYPE')).toBe('partition\n');
    // It goes on where the lost one ended.
    await made.must('byteback-backup >&2');
    expect(await server.snapshots(name)).toHaveLength(2);
    await made.powerOff();
    await rm(newOne);
  });
});
