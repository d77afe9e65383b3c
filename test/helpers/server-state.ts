/** Everything on a server that an attack must leave as it was: each file's place, kind, owner, rights, times. */
import { command, must } from './command.ts';

const watched = ['/byteback', '/etc/byteback', '/etc/sudoers.d', '/etc/ssh', '/usr/lib/byteback', '/etc/passwd'];

/** What the server itself notes of an attack, and the time of the directory that it stands in. */
const notes = /^\/byteback\/\.byteback(?:\/events[^|/]*)?\|/;

/** Waits until what follows a run on the server has ended: it goes on when the client has its answer. */
export async function serverIsQuiet(): Promise<void> {
  for (let i = 0; i < 600 && (await command(['pgrep', '-f', '/after-run[.]mjs'])).exitCode === 0; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** One line a file. Two equal states mean that nothing was made, changed, moved or deleted. */
export async function serverState({ but }: { but?: RegExp } = {}): Promise<string[]> {
  await serverIsQuiet();
  const line = (inode: string) => ['-printf', `%p|%y|${inode}|%m|%U:%G|%s|%n|%T@|%C@\n`];
  // A private machine's own disk is an overlay, whose directories get a new number when the kernel forgets them.
  const isOverlays = ['-type', 'd', '-not', '-path', '/byteback*'];
  const { stdout } = await must(['find', ...watched, '(', ...isOverlays, ...line('-'), ')', '-o', ...line('%i')]);
  const lines = stdout.split('\n').filter((line) => line !== '' && !notes.test(line) && but?.test(line) !== true);
  const planted = await command(['find', '/', '-xdev', '-maxdepth', '3', '-name', '*PWNED*']);
  return [...lines, planted.stdout].sort();
}

/** Processes of the receiving user that run. What has ended waits here for an init that this machine does not have. */
export async function receiverProcesses(): Promise<string> {
  const { stdout } = await command(['ps', '-u', 'byteback', '-o', 'stat=,args=']);
  return (
    stdout
      .split('\n')
      // sshd's own half of a session ends a moment after its client.
      .filter((line) => line !== '' && !line.startsWith('Z') && !line.includes('sshd: '))
      .join('\n')
  );
}
