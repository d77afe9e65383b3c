import { run } from '../run.ts';
import { subvolumeIdOf, subvolumePathOf } from './subvolumes.ts';

/** More are not looked up: each takes two calls of the kernel. */
const mostSubvolumes = 20_000;

/**
 * The subvolumes of a file system that are not known, for showing: paths below a directory of it, and from the file system's top, with a slash before
 * it, where they are not below. Only numbers are taken from the list, and the kernel is asked for the path of each: a name with a
 * line end can add a number, but no path that is not there. Needs root.
 */
export async function allSubvolumes(directory: string, isKnown: (path: string) => boolean): Promise<string[]> {
  const own = await subvolumeIdOf(directory);
  const top = own === 5 ? '' : `${await subvolumePathOf(directory, own)}/`;
  const { stdout } = await run(['btrfs', 'subvolume', 'list', '--', directory], { timeoutMs: 120_000 });
  const lines = stdout.toString('latin1').matchAll(/^ID (\d{1,15}) gen \d+ top level \d+ path (.*)$/gm);
  const ids = [...lines].filter(([, , path = '']) => !isKnown(path.slice(top.length))).map(([, id]) => Number(id));
  const paths: string[] = [];
  for (const id of [...new Set(ids)].slice(0, mostSubvolumes)) {
    if (id === own) continue;
    const path = await subvolumePathOf(directory, id).catch(() => undefined);
    if (path !== undefined) paths.push(path.startsWith(top) ? path.slice(top.length) : `/${path}`);
  }
  return paths.filter((path) => !isKnown(path));
}
