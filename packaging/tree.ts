import { chmod, cp, lstat, mkdir, readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

/** Copies a file or a directory, with all above it made. */
export async function copyInto(from: string, to: string, dereference = false): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  // Node would turn the links of a tree into ones to where it was copied from.
  await cp(from, to, { recursive: true, dereference, verbatimSymlinks: !dereference });
}

/** What is started: everything else in a package is only read. */
const executable =
  /^(?:usr\/bin\/.*|usr\/lib\/byteback\/(?:node|launch|fill-cache|byteback-\w+)|DEBIAN\/(?:pre|post)\w+|install)$/;

/**
 * Gives every file of a tree the mode that it must have once installed. Nothing is taken over from the checkout: a umask
 * of 002 there would give a package that set-up refuses, because others than root could write it.
 */
export async function setModes(tree: string): Promise<void> {
  const names = await readdir(tree, { recursive: true });
  for (const path of [tree, ...names.map((name) => join(tree, name))]) {
    const stats = await lstat(path);
    if (stats.isSymbolicLink()) continue;
    await chmod(path, stats.isDirectory() || executable.test(relative(tree, path)) ? 0o755 : 0o644);
  }
}

/** A version that is not released yet has this date, so that its packages depend on nothing but the sources. */
const unreleased = '2026-01-01';

/** The time of everything in the packages, in seconds: the day that CHANGELOG.md gives the version. */
export function releaseDate(changelog: string, version: string): number {
  const heading = changelog.split('\n').find((line) => line.startsWith(`## ${version}`)) ?? '';
  const day = /\d{4}-\d{2}-\d{2}/.exec(heading)?.[0] ?? unreleased;
  return Date.parse(`${day}T00:00:00Z`) / 1000;
}
