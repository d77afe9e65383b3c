import { must } from './command.ts';

/**
 * What a run on a private machine must leave as it was on the machine itself: mounts, everything in /etc (users, sudoers,
 * sshd's configuration, fstab, cron), and that there is nothing of byteback. Text, to be compared.
 */
export async function footprint(): Promise<string> {
  const mounts = await must(['findmnt', '--raw', '--noheadings', '--output', 'TARGET,SOURCE,FSTYPE']);
  // The times of inodes tell of every change, even one that was undone.
  const etc = await must(['find', '/etc', '-xdev', '-printf', '%p %s %U:%G %m %T@ %C@\n']);
  const ours = await must([
    ...['find', '/', '/usr/bin', '/usr/lib', '/usr/lib/systemd/system', '/var/lib', '/srv', '/root', '/home'],
    ...['-xdev', '-maxdepth', '1', '-name', '*byteback*'],
  ]);
  return [mounts.stdout, etc.stdout.split('\n').toSorted().join('\n'), ours.stdout].join('\n---\n');
}
