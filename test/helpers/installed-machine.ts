/**
 * A machine with byteback installed, for integration tests. The tests already run on a private machine on which
 * `npm run test:integration` has installed the packages with apt; this sets up what a test needs on it:
 *
 *     const machine = await installedMachine();              // server at /byteback (4 GB image), sshd on a loopback port
 *     const web1 = await machine.client('web1');             // set up with the admin key
 *     const outcome = await web1.run('byteback-backup', '--source', '/srv/disk/tree');
 *     expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
 *     await machine.dispose();                               // in afterAll: everything of byteback is gone again
 *
 * All test files share the one private machine and run one after the other, so each must dispose of what it set up.
 * `machine.disk` is an ext4 disk of 1 GB for source trees and restores: the overlay below / does not know everything
 * that a real disk does. See nasty-tree.ts for a tree that is hard to back up, and compare-trees.ts to compare two.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOptions, command, must, type Outcome } from './command.ts';
import { answers, freePort } from './loopback-port.ts';
import { serverIsQuiet } from './server-state.ts';

/** A client that is set up against the machine's own server. */
export interface TestClient {
  readonly name: string;
  readonly configDir: string;
  readonly stateDir: string;
  /** BYTEBACK_CONFIG_DIR and BYTEBACK_STATE_DIR of this client. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs a byteback command as this client. */
  run(...argv: string[]): Promise<Outcome>;
  runWith(options: CommandOptions, ...argv: string[]): Promise<Outcome>;
  /** Where the server keeps it: /byteback/clients/NAME */
  readonly place: string;
}

export interface MachineOptions {
  /** Size of the store's image. Default 4G. */
  readonly size?: string;
  /** Further arguments of byteback-setup-server. */
  readonly serverArguments?: readonly string[];
  /** False: only the disk, the admin key and the sshd; the test sets up the server itself. */
  readonly server?: boolean;
}

export interface InstalledMachine {
  readonly store: '/byteback';
  /** The image file of the store. */
  readonly image: string;
  /** An ext4 disk for source trees and restores. */
  readonly disk: string;
  /** A directory of its own for files of the test; gone on dispose. */
  readonly scratch: string;
  /** sshd's port on 127.0.0.1. */
  readonly port: number;
  /** File with the private key of the admin; beside it, .pub. */
  readonly adminKey: string;
  /** What byteback-setup-server printed. */
  readonly setup: Outcome | undefined;
  /** sshd's process. */
  readonly sshd: ChildProcess;
  /** The log of sshd, level VERBOSE. */
  sshdLog(): Promise<string>;
  /** Stops sshd (the server is away) and starts it again on the same port. */
  stopSshd(): Promise<void>;
  startSshd(): Promise<void>;
  /** Sets up a client with the admin key. @throws Error when it fails. */
  client(name: string, ...further: string[]): Promise<TestClient>;
  /** A client that is not set up yet, with directories of its own. */
  clientToBe(name: string): TestClient;
  /** The snapshots of a client on the server, oldest first. */
  snapshots(name: string): Promise<string[]>;
  dispose(): Promise<void>;
}

async function makeDisk(scratch: string): Promise<string> {
  const file = join(scratch, 'disk.img');
  const disk = join(scratch, 'disk');
  await writeFile(file, '');
  await truncate(file, 1024 ** 3);
  await must(['mkfs.ext4', '-q', '-F', file]);
  await mkdir(disk);
  await must(['mount', '-o', 'loop', file, disk]);
  return disk;
}

/** Everything that byteback may have left on this private machine. The store's image is in the scratch directory. */
async function forgetByteback(scratch: string): Promise<void> {
  for (const path of ['/byteback', join(scratch, 'disk')]) {
    for (let i = 0; i < 50 && (await command(['mountpoint', '-q', path])).exitCode === 0; i++) {
      const { exitCode } = await command(['umount', '-R', path]);
      if (exitCode !== 0) {
        await command(['fuser', '-k', '-m', path]);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
  await command(['userdel', 'byteback']);
  for (const path of [
    '/etc/byteback',
    '/var/lib/byteback',
    '/etc/sudoers.d/byteback',
    '/etc/ssh/sshd_config.d/byteback.conf',
    ...['backup', 'prune', 'report', 'scrub'].map((chore) => `/etc/cron.d/byteback-${chore}`),
    '/var/spool/byteback',
    '/run/byteback',
    '/var/lib/byteback-server',
    '/byteback',
    scratch,
  ]) {
    await rm(path, { recursive: true, force: true });
  }
  const fstab = await readFile('/etc/fstab', 'utf8').catch(() => '');
  await writeFile(
    '/etc/fstab',
    fstab
      .split('\n')
      .filter((line) => !line.includes('byteback'))
      .join('\n'),
  );
}

/**
 * Sets up a server as the design's "as a person would" line says, and an sshd with Debian's own configuration.
 * @throws Error when a step fails, with all that it printed.
 */
export async function installedMachine(options: MachineOptions = {}): Promise<InstalledMachine> {
  // Not in /tmp, which is memory without everything that a disk can do.
  const scratch = await mkdtemp('/var/tmp/byteback-test-');
  try {
    return await setUp(scratch, options);
  } catch (error) {
    // The next test file must find the machine as it was.
    await forgetByteback(scratch);
    throw error;
  }
}

async function setUp(scratch: string, options: MachineOptions): Promise<InstalledMachine> {
  const image = join(scratch, 'store.img');
  const adminKey = join(scratch, 'admin');
  const logFile = join(scratch, 'sshd.log');
  const disk = await makeDisk(scratch);
  await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'admin', '-f', adminKey]);

  let setup: Outcome | undefined;
  if (options.server !== false) {
    setup = await must([
      'byteback-setup-server',
      ...['--store', '/byteback', '--image', image, '--size', options.size ?? '4G'],
      ...['--admin-key', `${adminKey}.pub`, '--yes'],
      ...(options.serverArguments ?? []),
    ]);
  }

  const port = await freePort();
  let sshd: ChildProcess;
  async function startSshd(): Promise<void> {
    await mkdir('/run/sshd', { recursive: true });
    sshd = spawn(
      '/usr/sbin/sshd',
      ['-D', '-E', logFile, '-p', String(port), '-o', 'ListenAddress=127.0.0.1', '-o', 'LogLevel=VERBOSE'],
      { stdio: 'ignore' },
    );
    for (let i = 0; i < 100; i++) {
      if (await answers(port)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`sshd does not answer on port ${port}: ${await readFile(logFile, 'utf8')}`);
  }
  /** The listener and every session of it. */
  async function stopSshd(): Promise<void> {
    if (sshd.exitCode !== null || sshd.signalCode !== null) return;
    const ended = once(sshd, 'exit');
    await command(['pkill', '-KILL', '-P', String(sshd.pid)]);
    sshd.kill('SIGTERM');
    await ended;
  }
  await startSshd();

  function clientToBe(name: string): TestClient {
    const home = join(scratch, 'clients', name);
    const configDir = join(home, 'config');
    const stateDir = join(home, 'state');
    const env = { BYTEBACK_CONFIG_DIR: configDir, BYTEBACK_STATE_DIR: stateDir };
    const runWith = async (given: CommandOptions, ...argv: string[]): Promise<Outcome> => {
      const outcome = await command(argv, { ...given, env: { ...env, ...given.env } });
      if (argv[0] === 'byteback-backup') await serverIsQuiet();
      return outcome;
    };
    return {
      name,
      configDir,
      stateDir,
      env,
      place: join('/byteback/clients', name),
      runWith,
      run: (...argv) => runWith({}, ...argv),
    };
  }

  return {
    store: '/byteback',
    image,
    disk,
    scratch,
    port,
    adminKey,
    setup,
    get sshd() {
      return sshd;
    },
    sshdLog: () => readFile(logFile, 'utf8'),
    startSshd,
    stopSshd,
    clientToBe,
    async client(name, ...further) {
      const client = clientToBe(name);
      const argv = [
        'byteback-setup-client',
        ...['--destination', 'byteback@127.0.0.1:', '--port', String(port), '--identity', adminKey],
        ...['--hostname', name, '--accept-new', '--no-timer', ...further],
      ];
      const outcome = await client.run(...argv);
      if (outcome.exitCode !== 0) {
        throw new Error(
          `${argv.join(' ')} exited ${outcome.exitCode}\n${outcome.stdout}\n${outcome.stderr}\n${await readFile(logFile, 'utf8')}`,
        );
      }
      return client;
    },
    async snapshots(name) {
      const { stdout } = await command(['ls', '-1', join('/byteback/clients', name, 'snapshots')]);
      return stdout
        .split('\n')
        .filter((line) => line !== '')
        .toSorted();
    },
    async dispose() {
      await stopSshd();
      await forgetByteback(scratch);
    },
  };
}
