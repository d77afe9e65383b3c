import { run } from './run.ts';

/** The installed rsync's version: [3, 5, 0]. @throws ProgramError when it is missing or says nothing of a version. */
export async function rsyncVersion(): Promise<[major: number, minor: number, patch: number]> {
  const { stdout } = await run(['rsync', '--version']);
  return parseRsyncVersion(stdout.toString('latin1'));
}

/** [0, 0, 0] when the text names no version. */
export function parseRsyncVersion(text: string): [major: number, minor: number, patch: number] {
  const [, major, minor, patch] = /^rsync\s+version (\d+)\.(\d+)(?:\.(\d+))?/m.exec(text) ?? [];
  return [Number(major ?? 0), Number(minor ?? 0), Number(patch ?? 0)];
}
