import type { RuleMatcher } from './excludes.ts';
import { parentOf } from './record.ts';

/** Whether a run takes a path; what lies in a directory that is left out is left out too. Pure. */
export type Taken = (path: string, isDirectory: boolean) => boolean;

/** Directories whose verdict is remembered at most; then all are forgotten. */
const remembered = 20_000;

/** Decides by rules about absolute paths. */
export function takenBy(matcher: RuleMatcher): Taken {
  const directories = new Map<string, boolean>();
  const directoryTaken = (path: string): boolean => {
    if (path === '/') return true;
    const known = directories.get(path);
    if (known !== undefined) return known;
    const taken = directoryTaken(parentOf(path)) && matcher.verdict(path.slice(1), true) === 'include';
    if (directories.size >= remembered) directories.clear();
    directories.set(path, taken);
    return taken;
  };
  return (path, isDirectory) =>
    isDirectory
      ? directoryTaken(path)
      : directoryTaken(parentOf(path)) && matcher.verdict(path.slice(1), false) === 'include';
}
