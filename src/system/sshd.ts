import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { isMissing } from './files.ts';
import { ProgramError, run } from './run.ts';
import { isSystemdRunning } from './systemd.ts';

/** What sshd would do for a log-in: keywords in lower case, with all their values in order. */
export type SshdSettings = ReadonlyMap<string, readonly string[]>;

/** Where sshd drops its privileges; a distribution's start script makes it, and `sshd -t` insists on it. */
async function makeRunDirectory(): Promise<void> {
  await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
}

/** The lines of `sshd -T`. */
export function parseSshdSettings(output: string): SshdSettings {
  const settings = new Map<string, string[]>();
  for (const line of output.split('\n')) {
    const [, keyword, value] = /^(\S+) ?(.*)$/.exec(line) ?? [];
    if (keyword !== undefined && value !== undefined) settings.set(keyword, [...(settings.get(keyword) ?? []), value]);
  }
  return settings;
}

/**
 * The settings in effect for a user who logs in from an address, all files, Include and Match applied.
 * @throws ProgramError when the configuration is broken.
 */
export async function effectiveSettings(user: string, address: string): Promise<SshdSettings> {
  await makeRunDirectory();
  const { stdout } = await run(['sshd', '-T', '-C', `user=${user},host=${address},addr=${address}`]);
  return parseSshdSettings(stdout.toString('utf8'));
}

/** Why sshd would not start with its configuration as it stands, or undefined when it would. */
export async function whyConfigurationBroken(): Promise<string | undefined> {
  await makeRunDirectory();
  try {
    await run(['sshd', '-t']);
    return undefined;
  } catch (error) {
    if (!(error instanceof ProgramError) || error.notFound) throw error;
    return error.stderr.trim() || error.explanation.why;
  }
}

/** Makes the host keys of all types that are missing. */
export async function makeHostKeys(): Promise<void> {
  await run(['ssh-keygen', '-A']);
}

/** The process that listens, as its pid file says; undefined when it is not running. */
async function listeningProcess(pidFile: string): Promise<number | undefined> {
  try {
    const pid = Number((await readFile(pidFile, 'utf8')).trim());
    if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
    // The number may be another program's by now.
    return (await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'sshd' ? pid : undefined;
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'ESRCH') return undefined;
    throw error;
  }
}

/** How the sshd that runs here can be told something: by its unit, or by a signal. */
type RunningSshd = { readonly unit: string } | { readonly pid: number };

/** The sshd that listens with the system's configuration, or undefined when none does. */
async function findRunningSshd(settings: SshdSettings): Promise<RunningSshd | undefined> {
  if (isSystemdRunning()) {
    for (const unit of ['ssh.service', 'sshd.service']) {
      const { exitCode } = await run(['systemctl', 'is-active', '--quiet', '--', unit], { accept: [0, 1, 3, 4] });
      if (exitCode === 0) return { unit };
    }
  }
  const pid = await listeningProcess(settings.get('pidfile')?.[0] ?? '/run/sshd.pid');
  return pid === undefined ? undefined : { pid };
}

/** True when an sshd runs with the system's configuration. */
export async function isSshdRunning(settings: SshdSettings): Promise<boolean> {
  return (await findRunningSshd(settings)) !== undefined;
}

/** Local address and port, in hexadecimal, of a listening TCP socket, and its inode: a line of /proc/net/tcp. */
const listeningSocket = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A (?:\S+ +){5}(\d+) /;

/** Ports that the sockets of a process listen on, from the text of /proc/net/tcp and tcp6. */
export function listeningPorts(table: string, inodes: ReadonlySet<string>): number[] {
  return table.split('\n').flatMap((line) => {
    const [, , port, inode] = listeningSocket.exec(line) ?? [];
    return port !== undefined && inode !== undefined && inodes.has(inode) ? [Number.parseInt(port, 16)] : [];
  });
}

async function socketsOf(pid: number): Promise<Set<string>> {
  const inodes = new Set<string>();
  for (const name of await readdir(`/proc/${pid}/fd`)) {
    // A descriptor that was closed in the meantime is no socket that listens.
    const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  return inodes;
}

/**
 * The port on which the sshd with the system's configuration really listens (an option on its command line counts more
 * than the configuration), or undefined when none does.
 */
export async function portOfRunningSshd(settings: SshdSettings): Promise<number | undefined> {
  const running = await findRunningSshd(settings);
  if (running === undefined) return undefined;
  const pid = 'pid' in running ? running.pid : await mainProcessOf(running.unit);
  const table = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')));
  return listeningPorts(table.join('\n'), await socketsOf(pid))[0];
}

async function mainProcessOf(unit: string): Promise<number> {
  const { stdout } = await run(['systemctl', 'show', '--property', 'MainPID', '--value', '--', unit]);
  return Number(stdout.toString('utf8').trim());
}

/** Lets a running sshd read its configuration again; open sessions go on. False when none is running that could. */
export async function reloadSshd(settings: SshdSettings): Promise<boolean> {
  const running = await findRunningSshd(settings);
  if (running === undefined) return false;
  if ('unit' in running) await run(['systemctl', 'reload', '--', running.unit]);
  else process.kill(running.pid, 'SIGHUP');
  return true;
}
