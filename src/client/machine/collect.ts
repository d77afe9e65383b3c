import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { arch, hostname, release } from 'node:os';
import { escapeName } from '../../protocol/file-name.ts';
import { type Device, type Machine, maxMachineBytes, parseMachine } from '../../protocol/machine.ts';
import type { Log } from '../../system/log.ts';
import { parseMountinfo } from '../../system/mountinfo.ts';
import { run } from '../../system/run.ts';
import { parseBlkid, parseLsblk } from './lsblk.ts';

/** A program that says something of the machine takes no longer; a disk that is broken can make lsblk wait. */
const patienceMs = 10_000;
/** No text of a program is kept longer. */
const maxTextBytes = 60_000;

/**
 * Collects what a machine is made of. Nothing of it is required: what is not installed, takes too long or does not fit is
 * named in `missing`. Its text holds no time, so that it is the same as long as the machine is.
 * @returns the manifest's text, or undefined when there is none that the protocol carries.
 */
export async function collectMachine(sources: readonly string[], log: Log): Promise<string | undefined> {
  const missing: string[] = [];
  const [devices, raid, volumes, fstab, packages, system, mountinfo] = await Promise.all([
    listDevices(missing),
    existsSync('/proc/mdstat') ? said(['mdadm', '--detail', '--scan'], missing) : undefined,
    // Without device-mapper there is no LVM, and asking for it loads the module.
    existsSync('/dev/mapper/control') ? said(['lvs', '--all', '-o', '+devices', '--units', 'b'], []) : undefined,
    readFile('/etc/fstab', 'utf8').catch(() => undefined),
    listPackages(missing),
    systemName(),
    readFile('/proc/self/mountinfo', 'latin1').catch(() => ''),
  ]);
  const mounts = mountsOf(mountinfo, devices, sources);
  const mentioned = neededDevices(devices, new Set(mounts.map(({ device }) => device)));
  const partitionTables: { device: string; dump: string }[] = [];
  for (const { path, table } of mentioned) {
    const dump = table === undefined ? undefined : await said(['sfdisk', '--dump', path], missing);
    if (dump !== undefined) partitionTables.push({ device: path, dump });
  }
  const machine: Machine = {
    format: 1,
    hostname: hostname(),
    system,
    kernel: release(),
    architecture: arch(),
    firmware: existsSync('/sys/firmware/efi') ? 'uefi' : arch() === 'x64' ? 'bios' : 'other',
    bootLoader: bootLoader(),
    initramfs: initramfsTool(),
    sources: sources.map((source) => escapeName(Buffer.from(source, 'latin1'))).slice(0, 1000),
    devices: mentioned.slice(0, 1000),
    mounts: mounts.slice(0, 1000),
    texts: {
      partitionTables: partitionTables.slice(0, 64),
      ...(raid === undefined || raid === '' ? {} : { raid }),
      ...(volumes === undefined || volumes === '' ? {} : { volumes }),
      ...(fstab === undefined ? {} : { fstab: fstab.slice(0, maxTextBytes) }),
    },
    ...packages,
    missing: [...new Set(missing)].slice(0, 100),
  };
  const text = fittingText(machine);
  if (text === undefined)
    log.info('the manifest of this machine is left out: it is too large, or holds what it may not');
  return text;
}

/** The manifest as text; when it is too long, without packages. */
function fittingText(machine: Machine): string | undefined {
  const without = {
    ...machine,
    packages: [],
    missing: [...machine.missing.slice(0, 99), 'the packages: they are too many'],
  };
  for (const candidate of [machine, without]) {
    const text = JSON.stringify(candidate);
    if (JSON.stringify(text).length <= maxMachineBytes && parseMachine(text) !== undefined) return text;
  }
  return undefined;
}

/** What a program prints, or undefined. */
async function said(argv: readonly [string, ...string[]], missing: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run(argv, { timeoutMs: patienceMs, maxOutputBytes: 4 * 1024 * 1024 });
    return stdout.toString('utf8').slice(0, maxTextBytes);
  } catch {
    // Not installed, no such device, too slow: the backup goes on without it.
    missing.push(`${argv[0]} said nothing`);
    return undefined;
  }
}

async function listDevices(missing: string[]): Promise<Device[]> {
  try {
    const { stdout } = await run(['lsblk', '--json', '--bytes', '--output-all'], { timeoutMs: patienceMs });
    const devices = parseLsblk(stdout.toString('utf8'));
    // lsblk asks udev; where there is none, as in a container, it knows of no file system.
    const unknown = devices.filter(({ fileSystem, table, sizeBytes }) => !fileSystem && !table && sizeBytes > 0);
    return unknown.length === 0
      ? devices
      : await probe(
          devices,
          unknown.map(({ path }) => path),
        );
  } catch {
    missing.push('lsblk said nothing: the disks are not known');
    return [];
  }
}

/** Looks for file systems on the devices themselves. */
async function probe(devices: readonly Device[], paths: readonly string[]): Promise<Device[]> {
  try {
    const argv = ['blkid', '--probe', '--output', 'export', '--', ...paths] as const;
    // 2: nothing was found on one of them; 8: more than one thing was.
    const { stdout } = await run(argv, { timeoutMs: patienceMs, accept: [0, 2, 8] });
    const found = parseBlkid(stdout.toString('utf8'));
    return devices.map((device) => ({ ...device, ...found.get(device.path) }));
  } catch {
    // Not installed: what udev knew is all there is.
    return [...devices];
  }
}

/** File systems that are no place for files of the machine: images of read-only software. */
const imageTypes: ReadonlySet<string> = new Set(['squashfs', 'iso9660', 'udf', 'erofs']);

/** The file systems of disks that are mounted: each place once, the last that was mounted there. */
export function mountsOf(mountinfo: string, devices: readonly Device[], sources: readonly string[]): Machine['mounts'] {
  const types = new Map(devices.map(({ path, type }) => [path, type]));
  const mounts = new Map<string, Machine['mounts'][number]>();
  for (const { path, source, root, type, options } of parseMountinfo(mountinfo)) {
    const kind = types.get(source);
    // A file that is mounted is only backed up where it is named.
    if (kind === undefined || imageTypes.has(type) || (kind === 'loop' && !sources.includes(path))) continue;
    const escaped = (bytes: string) => escapeName(Buffer.from(bytes, 'latin1')).slice(0, 4096);
    mounts.delete(path);
    const masks =
      type === 'vfat' ? options.split(',').filter((option) => /^(?:[fd]mask|[ug]id)=\d+$/.test(option)) : [];
    mounts.set(path, {
      path: escaped(path),
      device: source,
      root: escaped(root),
      ...(masks.length === 0 ? {} : { options: masks.join(',') }),
    });
  }
  return [...mounts.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The devices that something is mounted from or swapped to, and all that they lie on. */
function neededDevices(devices: readonly Device[], mounted: ReadonlySet<string>): Device[] {
  const needed = new Set<string>();
  const byPath = new Map(devices.map((device) => [device.path, device]));
  const need = (path: string) => {
    if (needed.has(path)) return;
    needed.add(path);
    for (const below of byPath.get(path)?.on ?? []) need(below);
  };
  for (const { path, type, fileSystem } of devices) {
    if (mounted.has(path) || (fileSystem?.type === 'swap' && type !== 'loop')) need(path);
  }
  // All partitions of a disk that is needed: one without a file system may be what the boot loader lies in.
  const disks = new Set(
    devices.filter(({ path, table }) => table !== undefined && needed.has(path)).map(({ path }) => path),
  );
  return devices.filter(
    ({ path, type, on }) => needed.has(path) || (type === 'part' && on.some((disk) => disks.has(disk))),
  );
}

async function systemName(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1]?.slice(0, 200) ?? 'unknown';
}

function bootLoader(): Machine['bootLoader'] {
  const anyOf = (...paths: string[]) => paths.some((path) => existsSync(path));
  if (anyOf('/boot/grub/grub.cfg', '/boot/grub2/grub.cfg')) return 'grub';
  if (anyOf('/boot/loader/loader.conf', '/boot/efi/loader/loader.conf', '/efi/loader/loader.conf'))
    return 'systemd-boot';
  return anyOf('/boot/extlinux/extlinux.conf') ? 'extlinux' : 'unknown';
}

function initramfsTool(): Machine['initramfs'] {
  const tools = ['update-initramfs', 'dracut', 'mkinitcpio'] as const;
  return tools.find((tool) => ['/usr/sbin', '/usr/bin'].some((place) => existsSync(`${place}/${tool}`))) ?? 'unknown';
}

const packageManagers = [
  {
    name: 'dpkg',
    database: '/var/lib/dpkg/status',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: these are dpkg's own.
    argv: ['dpkg-query', '--show', '--showformat', '${db:Status-Abbrev}${Package} ${Version}\\n'],
  },
  {
    name: 'rpm',
    database: '/var/lib/rpm',
    argv: ['rpm', '--query', '--all', '--queryformat', '%{NAME} %{VERSION}-%{RELEASE}\\n'],
  },
  { name: 'pacman', database: '/var/lib/pacman/local', argv: ['pacman', '-Q'] },
  { name: 'apk', database: '/lib/apk/db', argv: ['apk', 'info', '-v'] },
] as const;

async function listPackages(missing: string[]): Promise<Pick<Machine, 'packages' | 'packageManager'>> {
  const manager = packageManagers.find(({ database }) => existsSync(database));
  if (manager === undefined) return { packages: [], packageManager: 'unknown' };
  try {
    const { stdout } = await run(manager.argv, { timeoutMs: patienceMs, maxOutputBytes: 8 * 1024 * 1024 });
    const lines = stdout
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '');
    // dpkg also lists what was removed and left its configuration.
    const installed =
      manager.name === 'dpkg' ? lines.filter((line) => /^.i /.test(line)).map((line) => line.slice(3).trim()) : lines;
    return {
      packages: installed
        .map((line) => line.slice(0, 512))
        .toSorted()
        .slice(0, 20_000),
      packageManager: manager.name,
    };
  } catch {
    missing.push(`${manager.argv[0]} said nothing: the packages are not known`);
    return { packages: [], packageManager: manager.name };
  }
}
