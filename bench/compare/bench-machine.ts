/** The machine that the benchmark runs on: a server with byteback, a disk with the sources, and an ordinary user for the others. */
import { chmod, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command, must } from '../../test/helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../../test/helpers/installed-machine.ts';
import type { Sizes } from './case.ts';
import { type Measured, type Measuring, measure } from './measure.ts';
import type { Tool } from './tool.ts';
import { countWork } from './work-counter.ts';

/** What a case works with. */
export interface Bench {
  readonly machine: InstalledMachine;
  readonly sizes: Sizes;
  /** Those that were asked for and are there, byteback among them as a rule. */
  readonly tools: readonly Tool[];
  /** A directory on a real ext4 disk for the trees that are backed up. */
  readonly source: string;
  /** Where the others put what they receive: on the same store as byteback. */
  readonly othersDir: string;
  /** An ssh configuration with the host `others`: an ordinary user, with the same rights on the store. */
  readonly sshConfig: string;
  measure(call: Omit<Measuring, 'serverPid' | 'store' | 'work'>): Promise<Measured>;
  log(text: string): void;
}

/** Size of the two disks; they are files with holes, and take what is written to them. */
const diskBytes = 40 * 1024 ** 3;

/** The user of the others has the number of the user byteback: what one received, the other can go on with. */
async function makeUser(machine: InstalledMachine): Promise<string> {
  const uid = (await must(['id', '-u', 'byteback'])).stdout.trim();
  const gid = (await must(['id', '-g', 'byteback'])).stdout.trim();
  await must(['useradd', '-o', '-u', uid, '-g', gid, '-m', '-s', '/bin/sh', 'others']);
  const key = join(machine.scratch, 'others-key');
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
  await mkdir('/home/others/.ssh', { mode: 0o700 });
  await writeFile('/home/others/.ssh/authorized_keys', await readFile(`${key}.pub`), { mode: 0o600 });
  await must(['chown', '-R', `${uid}:${gid}`, '/home/others']);
  const config = join(machine.scratch, 'others-ssh');
  await writeFile(
    config,
    [
      'Host others',
      '  HostName 127.0.0.1',
      `  Port ${machine.port}`,
      '  User others',
      `  IdentityFile ${key}`,
      '  IdentitiesOnly yes',
      '  BatchMode yes',
      '  StrictHostKeyChecking no',
      '  UserKnownHostsFile /dev/null',
      '  LogLevel ERROR',
      '',
    ].join('\n'),
  );
  await chmod(config, 0o600);
  await must(['ssh', '-F', config, 'others', 'true']);
  return config;
}

/**
 * Where a disk of data is mounted as a rule. Not deeper: rsync 3.5 opens each directory on the way to each file, so that a tree
 * far from the root, where byteback's names begin and those of the others do not, would measure the scratch directory.
 */
const sourcePlace = '/srv';

async function makeSource(machine: InstalledMachine): Promise<string> {
  const file = join(machine.scratch, 'source.img');
  await writeFile(file, '');
  await truncate(file, diskBytes);
  // Inodes for a few million files.
  await must(['mkfs.ext4', '-q', '-F', '-N', '4000000', '-E', 'lazy_itable_init=1', file]);
  await mkdir(sourcePlace, { recursive: true });
  await must(['mount', '-o', 'loop,noatime', file, sourcePlace]);
  return sourcePlace;
}

/** Makes the machine, lets somebody use it, and removes it. */
export async function withBench(
  options: { sizes: Sizes; tools: readonly Tool[]; log: (text: string) => void },
  use: (bench: Bench) => Promise<void>,
): Promise<void> {
  const machine = await installedMachine({ size: String(diskBytes) });
  const work = countWork(machine.sshd.pid ?? 0);
  try {
    await must(['sed', '-i', 's/^# snapshots_per_day.*/snapshots_per_day = 10000/', '/etc/byteback/server.toml']);
    const sshConfig = await makeUser(machine);
    const source = await makeSource(machine);
    const othersDir = '/byteback/others';
    await must(['install', '-d', '-o', 'others', othersDir]);
    const tools: Tool[] = [];
    for (const tool of options.tools) {
      if (await tool.isThere()) tools.push(tool);
      else options.log(`*** ${tool.name} is not installed and is left out ***`);
    }
    await use({
      machine,
      sizes: options.sizes,
      tools,
      source,
      othersDir,
      sshConfig,
      log: options.log,
      measure: (call) => measure({ ...call, serverPid: machine.sshd.pid ?? 0, store: machine.store, work }),
    });
  } finally {
    work.dispose();
    await command(['umount', sourcePlace]);
    await rm('/byteback/others', { recursive: true, force: true });
    await machine.dispose();
  }
}
