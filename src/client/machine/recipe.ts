import { unescapeName } from '../../protocol/file-name.ts';
import type { Machine } from '../../protocol/machine.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { diskCommands, type Line, mountCommands, remark, word } from './disks.ts';

/** What a recipe needs besides the manifest. */
export interface RecipeFacts {
  readonly snapshot: SnapshotName;
  /** The client's name on the server; undefined when it is not known here. */
  readonly client: string | undefined;
  /** `byteback@host:`; undefined when the recipe is asked for on the server. */
  readonly destination: string | undefined;
}

/** Where the new disks are mounted. */
export const recipeTarget = '/mnt/target';

/**
 * How to make a machine anew from one snapshot: commands, with remarks between them, in the order in which they are typed
 * in a rescue system. Everything in it that comes from the manifest is quoted.
 */
export function recipeOf(machine: Machine, facts: RecipeFacts): string {
  const { mounts, devices } = machine;
  const isWhole = machine.sources.includes('/');
  return [
    ...heading(machine, facts, isWhole),
    '',
    ...enrolment(machine, facts),
    '',
    '# 3. Make the disks. This erases them. They are named as they were: compare with lsblk, and put the new names in.',
    ...(devices.length === 0 ? ['# The disks are not known: make and mount them by hand.'] : diskCommands(machine)),
    '',
    `# 4. Mount them below ${recipeTarget}.`,
    ...(mounts.some(({ path }) => path === '/') ? [] : [`mkdir -p ${recipeTarget}`]),
    ...mountCommands(machine, recipeTarget),
    '',
    '# 5. Restore. What is cut goes on when the same command is given again.',
    `byteback-restore --restore --all-files --snapshot ${facts.snapshot} --to ${recipeTarget}`,
    '',
    ...(isWhole ? bootSteps(machine) : partSteps(machine)),
    '',
  ].join('\n');
}

function heading(machine: Machine, { snapshot }: RecipeFacts, isWhole: boolean): Line[] {
  const { hostname, system, kernel, architecture, firmware, bootLoader, packages, missing } = machine;
  return [
    `# ${remark(hostname)} as it was at ${snapshot}`,
    `# ${remark(system)}, kernel ${remark(kernel)}, ${remark(architecture)}, ${firmware}, boot loader: ${bootLoader}, ${packages.length} packages`,
    ...(isWhole
      ? []
      : [
          `# Only this of it is in the backup: ${machine.sources.map(remark).join(' ')}. The system itself has to be installed anew.`,
        ]),
    ...missing.map((what) => `# Not in the manifest: ${remark(what)}`),
  ];
}

function enrolment({ firmware }: Machine, { client, destination }: RecipeFacts): Line[] {
  const name = client === undefined ? 'NAME' : word(client);
  return [
    `# 1. Start a rescue system${firmware === 'uefi' ? ' in UEFI mode' : ''} on the new machine, and install byteback in it.`,
    '',
    '# 2. Give the new machine the place of the old one. On the server:',
    `#      byteback client invite ${name} --replace`,
    '#    It prints a line to type here, and below it the invite that this asks for.',
    ...(destination === undefined ? [] : [`#    (The server was ${remark(destination)}.)`]),
  ];
}

function bootSteps(machine: Machine): Line[] {
  const { bootLoader, firmware, initramfs } = machine;
  const disks = bootDisks(machine).map(word);
  const inside = `chroot ${recipeTarget}`;
  const loader: Record<Machine['bootLoader'], readonly Line[]> = {
    grub: [
      ...(firmware === 'uefi'
        ? [`${inside} grub-install`]
        : disks.length === 0
          ? [`# ${inside} grub-install /dev/DISK`]
          : disks.map((disk) => `${inside} grub-install ${disk}`)),
      `${inside} sh -c 'update-grub || grub2-mkconfig -o /boot/grub2/grub.cfg'`,
    ],
    'systemd-boot': [`${inside} bootctl install`],
    extlinux: [`${inside} extlinux --install /boot/extlinux`],
    unknown: ['# Its boot loader is not known: install it by hand.'],
  };
  const ramDisk: Record<Machine['initramfs'], readonly Line[]> = {
    'update-initramfs': [`${inside} update-initramfs -u -k all`],
    dracut: [`${inside} dracut --force --regenerate-all`],
    mkinitcpio: [`${inside} mkinitcpio -P`],
    unknown: [],
  };
  return [
    '# 6. Make it boot. The file systems have their old ids, so that /etc/fstab fits as it is.',
    '# The key that was backed up is the old one, which counts no more.',
    `cp -a /etc/byteback/key /etc/byteback/key.pub /etc/byteback/known_hosts /etc/byteback/ssh_config ${recipeTarget}/etc/byteback/`,
    // Slaves: where systemd runs every mount is shared, and unmounting these would reach for the rescue system's own.
    `for d in dev proc sys run; do mkdir -p ${recipeTarget}/$d && mount --rbind --make-rslave /$d ${recipeTarget}/$d; done`,
    // A directory that is left out whole is not in the backup.
    `mkdir -p -m 1777 ${recipeTarget}/tmp`,
    ...ramDisk[initramfs],
    ...loader[bootLoader],
    `umount -R ${recipeTarget}`,
    'reboot',
  ];
}

/** The disks that the file system with /boot lies on. */
function bootDisks({ devices, mounts }: Machine): string[] {
  const start = (mounts.find(({ path }) => path === '/boot') ?? mounts.find(({ path }) => path === '/'))?.device;
  const byPath = new Map(devices.map((device) => [device.path, device]));
  const disksOf = (path: string): string[] => {
    const device = byPath.get(path);
    if (device === undefined) return [];
    return device.on.length === 0 ? [path] : device.on.flatMap(disksOf);
  };
  return start === undefined ? [] : [...new Set(disksOf(start))];
}

function partSteps({ sources, packageManager }: Machine): Line[] {
  return [
    `# 6. What was brought lies below ${recipeTarget}: ${sources
      .map((source) => remark(`${recipeTarget}${unescapeName(source).toString('utf8')}`))
      .join(' ')}`,
    `#    The packages (${packageManager}) are listed by: byteback-restore --machine --json`,
  ];
}
