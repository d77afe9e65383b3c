import { lstat, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BytebackError } from '../../errors.ts';

/** Why somebody other than root could change what stands at a path, or undefined when nobody can. Links are followed. */
export async function whyNotTrusted(path: string): Promise<string | undefined> {
  const target = await realpath(path);
  for (let at = target; ; at = dirname(at)) {
    const stats = await lstat(at);
    if (stats.uid !== 0) return `${at} belongs to user ${stats.uid}, not to root`;
    // A sticky directory such as /tmp lets others make names, but not take ours.
    const writable = (stats.mode & 0o022) !== 0 && !(stats.isDirectory() && (stats.mode & 0o1000) !== 0);
    if (writable) return `others than root can write ${at}`;
    if (at === '/') return undefined;
  }
}

/** @throws BytebackError `refused` when somebody other than root could change what stands at a path. */
export async function requireTrusted(path: string): Promise<void> {
  const why = await whyNotTrusted(path);
  if (why === undefined) return;
  throw new BytebackError('refused', {
    what: `${path} cannot be trusted`,
    why,
    fix: 'give it to root: chown root, chmod go-w; then run this again',
  });
}
