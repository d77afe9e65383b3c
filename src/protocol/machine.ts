import * as v from 'valibot';

/**
 * What a machine is made of besides its files: enough to make the disks anew and to make it boot. The client collects it,
 * and each snapshot carries it as `machine.json` beside `run.json`. A client can write into it what it likes: whoever
 * prints it escapes it, and whoever makes commands of it quotes it.
 */

/** The text of a manifest, quoted as JSON once more, is never longer: it travels with the names of unread files. */
export const maxMachineBytes = 300_000;

const Text = v.pipe(v.string(), v.maxLength(65_536));
const Word = v.pipe(v.string(), v.maxLength(4096));
const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** One block device; `path` names it. */
const DeviceSchema = v.strictObject({
  path: Word,
  /** As lsblk says it: disk, part, lvm, crypt, raid1, loop, … */
  type: Word,
  sizeBytes: Size,
  /** Devices that it lies on, by path; none for a disk. */
  on: v.pipe(v.array(Word), v.maxLength(256)),
  fileSystem: v.optional(v.strictObject({ type: Word, uuid: v.optional(Word), label: v.optional(Word) })),
  /** Of a disk: what kind of table of partitions, and its id. */
  table: v.optional(v.strictObject({ type: Word, id: v.optional(Word) })),
  /** Of a partition. */
  partition: v.optional(
    v.strictObject({
      number: Size,
      startSector: v.optional(Size),
      type: v.optional(Word),
      id: v.optional(Word),
      label: v.optional(Word),
      flags: v.optional(Word),
    }),
  ),
});
export type Device = v.InferOutput<typeof DeviceSchema>;

/** A file system of a disk, mounted. */
const MountSchema = v.strictObject({
  path: Word,
  device: Word,
  /** The directory of the file system that is mounted: of btrfs, the subvolume. */
  root: Word,
  /** What it has to be mounted with again, so that its files can have the owners and rights they had: of vfat. */
  options: v.optional(Word),
});

export const MachineSchema = v.strictObject({
  format: v.literal(1),
  hostname: Word,
  /** "Debian GNU/Linux 12 (bookworm)" */
  system: Word,
  kernel: Word,
  architecture: Word,
  firmware: v.picklist(['uefi', 'bios', 'other']),
  bootLoader: v.picklist(['grub', 'systemd-boot', 'extlinux', 'unknown']),
  /** What makes the initial RAM disk. */
  initramfs: v.picklist(['update-initramfs', 'dracut', 'mkinitcpio', 'unknown']),
  /** What is backed up, escaped. */
  sources: v.pipe(v.array(Word), v.maxLength(1000)),
  devices: v.pipe(v.array(DeviceSchema), v.maxLength(1000)),
  mounts: v.pipe(v.array(MountSchema), v.maxLength(1000)),
  /** What programs said, as it was: sfdisk's dump of each disk by path, mdadm, LVM, fstab. */
  texts: v.strictObject({
    partitionTables: v.pipe(v.array(v.strictObject({ device: Word, dump: Text })), v.maxLength(64)),
    raid: v.optional(Text),
    volumes: v.optional(Text),
    fstab: v.optional(Text),
  }),
  /** "name version", as the package manager lists them. */
  packages: v.pipe(v.array(v.pipe(v.string(), v.maxLength(512))), v.maxLength(20_000)),
  packageManager: v.picklist(['dpkg', 'rpm', 'pacman', 'apk', 'unknown']),
  /** What could not be collected or did not fit, in words. */
  missing: v.pipe(v.array(Word), v.maxLength(100)),
});
export type Machine = v.InferOutput<typeof MachineSchema>;

/** The manifest in a text, or undefined when it is none. */
export function parseMachine(text: string): Machine | undefined {
  try {
    const parsed = v.safeParse(MachineSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    // Not JSON.
    return undefined;
  }
}
