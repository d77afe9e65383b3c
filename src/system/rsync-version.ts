import { run } from './run.ts';

type Version = [major: number, minor: number, patch: number];

let told: Promise<Version> | undefined;

/**
 * The installed rsync's version: [3, 5, 0]. It is asked once, so that it may be asked for ahead of its use.
 * @throws ProgramError when it is missing.
 */
export function rsyncVersion(): Promise<Version> {
  told ??= run(['rsync', '--version']).then(({ stdout }) => parseRsyncVersion(stdout.toString('latin1')));
  return told;
}

/**
 * Whether it distrusts the links in the paths that it is given and that a list names, and has the options about that
 * (rsync(1), --insecure-links, --confine-root): 3.5.0 is the first; those before call them unknown.
 */
export async function distrustsLinks(): Promise<boolean> {
  const [major, minor] = await rsyncVersion();
  return major > 3 || (major === 3 && minor >= 5);
}

/** [0, 0, 0] when the text names no version. */
export function parseRsyncVersion(text: string): Version {
  const [, major, minor, patch] = /^rsync\s+version (\d+)\.(\d+)(?:\.(\d+))?/m.exec(text) ?? [];
  return [Number(major ?? 0), Number(minor ?? 0), Number(patch ?? 0)];
}
