import { lstat, readlink } from 'node:fs/promises';
import { isMissing } from './files.ts';

/** What a program in the jail sees of the machine besides /usr. */
export interface JailView {
  /** A directory of the machine. */
  readonly directory: string;
  readonly access: 'read' | 'write';
  /** Where it appears inside; the program starts there. */
  readonly at: string;
  /**
   * Root's own jail, for reading alone: root may read what belongs to others, and nobody but root can reach into the processes, as
   * whoever started the jail can where the users in it are of a namespace of its own.
   */
  readonly rootReads?: boolean;
}

/** Directories at the root that are links into /usr on a merged system and directories of their own on an old one. */
const systemDirectories = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/**
 * The argv that runs a program in a jail: namespaces of its own for users, processes, network, mounts and the rest,
 * nothing of the machine but /usr (read-only) and one directory, no environment, no way to more rights.
 * It dies with the process that starts it.
 * @param filterFd descriptor that a seccomp program is read from.
 */
export async function bwrapArgv(
  view: JailView,
  filterFd: number,
  argv: readonly [string, ...string[]],
): Promise<[string, ...string[]]> {
  return [
    'bwrap',
    ...(view.rootReads === true
      ? ['--unshare-ipc', '--unshare-pid', '--unshare-net', '--unshare-uts', '--unshare-cgroup-try']
      : ['--unshare-all', '--unshare-user', '--disable-userns']),
    '--die-with-parent',
    '--new-session',
    '--clearenv',
    ...['--setenv', 'PATH', '/usr/bin'],
    ...['--setenv', 'LC_ALL', 'C'],
    ...['--hostname', 'jail'],
    ...['--cap-drop', 'ALL'],
    ...(view.rootReads === true ? ['--cap-add', 'CAP_DAC_READ_SEARCH'] : []),
    ...['--ro-bind', '/usr', '/usr'],
    ...(await Promise.all(systemDirectories.map(showSystemDirectory))).flat(),
    ...['--proc', '/proc'],
    // Nothing else of /dev: a peer can have rsync read any file by name, and some there never end.
    ...['--dir', '/dev', '--dev-bind', '/dev/null', '/dev/null'],
    ...[view.access === 'write' ? '--bind' : '--ro-bind', view.directory, view.at],
    ...['--remount-ro', '/'],
    ...['--chdir', view.at],
    ...['--seccomp', String(filterFd)],
    '--',
    ...argv,
  ];
}

async function showSystemDirectory(name: string): Promise<string[]> {
  const path = `/${name}`;
  try {
    const stat = await lstat(path);
    if (stat.isSymbolicLink()) return ['--symlink', await readlink(path), path];
    return stat.isDirectory() ? ['--ro-bind', path, path] : [];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
