import { unescapeName } from '../../protocol/file-name.ts';
import type { Device, Machine } from '../../protocol/machine.ts';

/** A line of a recipe: a command, or a comment that begins with #. */
export type Line = string;

/** A word for a shell, whatever it holds: a manifest comes from the client, and a person will paste this as root. */
export function word(text: string): string {
  const plain = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return /^[A-Za-z0-9%+,./:=@_-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", `'\\''`)}'`;
}

/** A text in a comment: one line, nothing that steers a terminal. */
export function remark(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}

/** The commands that make the disks, from the bottom up, with the old ids: so fstab and the boot loader need no change. */
export function diskCommands(machine: Machine): Line[] {
  const lines: Line[] = [];
  const made = new Set<string>();
  const groups = volumeGroups(machine.devices);
  for (const device of machine.devices) {
    lines.push(...commandsFor(device, machine, groups, made), ...contentCommands(device));
  }
  return lines;
}

function commandsFor(device: Device, machine: Machine, groups: VolumeGroups, made: Set<string>): Line[] {
  const { path, type, on } = device;
  if (device.table !== undefined) return tableCommands(device, machine);
  if (/^raid/.test(type)) return raidCommands(device, machine);
  if (type === 'crypt') return [`cryptsetup open ${on.map((below) => word(below)).join(' ')} ${word(nameOf(path))}`];
  if (type !== 'lvm') return [];
  const { group, volume } = volumeOf(path);
  const lines: Line[] = [];
  if (!made.has(group)) lines.push(`vgcreate ${word(group)} ${[...(groups.get(group) ?? [])].map(word).join(' ')}`);
  made.add(group);
  // What lies on another volume of the group (a pool, a mirror) is made by more than one plain command.
  const isPlain = on.every((below) => machine.devices.find((other) => other.path === below)?.type !== 'lvm');
  lines.push(
    ...(isPlain ? [] : [`# ${remark(path)} lies on other volumes: see what lvs said, in --machine --json`]),
    `lvcreate --yes --wipesignatures y --name ${word(volume)} --size ${device.sizeBytes}b ${word(group)}`,
  );
  return lines;
}

function tableCommands({ path, table, sizeBytes }: Device, { texts, devices }: Machine): Line[] {
  const dump = texts.partitionTables.find(({ device }) => device === path)?.dump ?? scriptOf(path, table, devices);
  // What could end the text early, or is no line of sfdisk's, is not passed on.
  const lines = dump.split('\n').filter((line) => /^[\x20-\x7e]+$/.test(line) && line !== 'END');
  return [`# ${remark(path)}: ${sizeBytes} bytes`, `sfdisk --wipe always ${word(path)} <<'END'`, ...lines, 'END'];
}

/** sfdisk's own form, out of what lsblk said. */
function scriptOf(path: string, table: Device['table'], devices: readonly Device[]): string {
  const partitions = devices.filter((device) => device.type === 'part' && device.on.includes(path));
  const id =
    table?.id === undefined
      ? []
      : [`label-id: ${table.type === 'dos' ? `0x${table.id.replace(/^0x/, '')}` : table.id}`];
  return [
    `label: ${table?.type ?? 'gpt'}`,
    ...id,
    'unit: sectors',
    ...partitions
      .toSorted((a, b) => (a.partition?.number ?? 0) - (b.partition?.number ?? 0))
      .map((device) => {
        const { number = 0, startSector, type, id: uuid, label } = device.partition ?? {};
        return [
          `${number} :`,
          [
            ...(startSector === undefined ? [] : [`start=${startSector}`]),
            `size=${Math.floor(device.sizeBytes / 512)}`,
            ...(type === undefined ? [] : [`type=${type.replace(/^0x/, '')}`]),
            ...(uuid === undefined || table?.type !== 'gpt' ? [] : [`uuid=${uuid}`]),
            ...(label === undefined ? [] : [`name="${label.replaceAll(/["\\]/g, '')}"`]),
          ].join(', '),
        ].join(' ');
      }),
  ].join('\n');
}

function raidCommands({ path, type, on }: Device, { texts }: Machine): Line[] {
  const known = texts.raid?.split('\n').find((line) => line.startsWith(`ARRAY ${path} `)) ?? '';
  const value = (name: string) => new RegExp(`\\b${name}=([A-Za-z0-9.:_-]+)`).exec(known)?.[1];
  const [metadata, uuid] = [value('metadata'), value('UUID')];
  return [
    [
      'mdadm --create --run',
      word(path),
      `--level=${word(type.replace(/^raid/, ''))}`,
      `--raid-devices=${on.length}`,
      ...(metadata === undefined ? [] : [`--metadata=${metadata}`]),
      ...(uuid === undefined ? [] : [`--uuid=${uuid}`]),
      ...on.map(word),
    ].join(' '),
  ];
}

/** What is made on a device: a file system, swap, or what the next device is made of. */
function contentCommands({ path, type, fileSystem }: Device): Line[] {
  if (fileSystem === undefined) return [];
  const { type: kind, uuid, label } = fileSystem;
  const given = (flag: string, value: string | undefined) => (value === undefined ? [] : [`${flag} ${word(value)}`]);
  const make = (...parts: (string | readonly string[])[]) => [[...parts.flat(), word(path)].join(' ')];
  switch (kind) {
    case 'ext2':
    case 'ext3':
    case 'ext4':
      return make(`mkfs.${kind} -q -F`, given('-U', uuid), given('-L', label));
    case 'xfs':
      return make('mkfs.xfs -f', uuid === undefined ? [] : [`-m uuid=${word(uuid)}`], given('-L', label));
    case 'btrfs':
      return make('mkfs.btrfs -q -f', given('-U', uuid), given('-L', label));
    case 'vfat':
      return make('mkfs.vfat', given('-i', uuid?.replaceAll('-', '')), given('-n', label));
    case 'swap':
      return make('mkswap', given('-U', uuid), given('-L', label));
    case 'crypto_LUKS':
      return make('cryptsetup luksFormat', given('--uuid', uuid));
    case 'LVM2_member':
      return make('pvcreate --yes', uuid === undefined ? [] : [`--norestorefile --uuid ${word(uuid)}`]);
    case 'linux_raid_member':
      return [];
    default:
      return type === 'disk' ? [] : [`# ${remark(path)} held ${remark(kind)}, which has to be made by hand`];
  }
}

type VolumeGroups = ReadonlyMap<string, ReadonlySet<string>>;

/** Which devices each volume group lies on. */
function volumeGroups(devices: readonly Device[]): VolumeGroups {
  const groups = new Map<string, Set<string>>();
  for (const { path, type, on } of devices) {
    if (type !== 'lvm') continue;
    const { group } = volumeOf(path);
    const members = groups.get(group) ?? new Set<string>();
    groups.set(group, members);
    for (const below of on) {
      if (devices.find((device) => device.path === below)?.type !== 'lvm') members.add(below);
    }
  }
  return groups;
}

function nameOf(path: string): string {
  return path.replace(/^\/dev\/(?:mapper\/)?/, '');
}

/** Group and volume out of /dev/mapper/group-volume, where a hyphen of a name is two. */
function volumeOf(path: string): { group: string; volume: string } {
  const [, group = '', volume = ''] = /^((?:[^-]|--)+)-((?:[^-]|--).*)$/.exec(nameOf(path)) ?? [];
  return { group: group.replaceAll('--', '-'), volume: volume.replaceAll('--', '-') };
}

/** The commands that mount all of it below one directory, the topmost first. */
export function mountCommands({ mounts, devices }: Machine, target: string): Line[] {
  const lines: Line[] = [];
  const made = new Set<string>();
  for (const { path, device, root, options } of mounts) {
    const place = word(`${target}${path === '/' ? '' : unescapeName(path).toString('utf8')}`);
    const kind = devices.find((one) => one.path === device)?.fileSystem?.type;
    const below = root.replace(/^\//, '');
    if (kind === 'btrfs' && below !== '') {
      const subvolume = `${target}.new/${below}`;
      if (!made.has(`${device} ${root}`)) {
        const parent = subvolume.slice(0, subvolume.lastIndexOf('/'));
        lines.push(
          `mkdir -p ${word(`${target}.new`)} && mount ${word(device)} ${word(`${target}.new`)}`,
          ...(below.includes('/') ? [`mkdir -p ${word(parent)}`] : []),
          `btrfs subvolume create ${word(subvolume)} && umount ${word(`${target}.new`)}`,
        );
        made.add(`${device} ${root}`);
      }
      lines.push(`mkdir -p ${place} && mount -o subvol=${word(root)} ${word(device)} ${place}`);
    } else if (below === '') {
      const given = options === undefined ? '' : `-o ${word(options)} `;
      lines.push(`mkdir -p ${place} && mount ${given}${word(device)} ${place}`);
    } else {
      lines.push(`# ${remark(path)} was a part of ${remark(device)}, mounted once more: nothing to do`);
    }
  }
  return lines;
}
