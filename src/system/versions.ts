import { ProgramError, run } from './run.ts';

/** How each program is asked, and how its answer looks. */
const questions = {
  rsync: { argv: ['rsync', '--version'], answer: /^rsync +version v?(\d+(?:\.\d+)*)/ },
  ssh: { argv: ['ssh', '-V'], answer: /OpenSSH_(\d+\.\d+)/ },
  btrfs: { argv: ['btrfs', '--version'], answer: /btrfs-progs v(\d+(?:\.\d+)*)/ },
  bwrap: { argv: ['bwrap', '--version'], answer: /bubblewrap (\d+(?:\.\d+)*)/ },
  sudo: { argv: ['sudo', '--version'], answer: /Sudo version (\d+(?:\.\d+)*)/ },
} as const;

export type KnownProgram = keyof typeof questions;

/** A program's version; `missing` when it is not installed, `unknown` when its answer is not understood. */
export async function programVersion(program: KnownProgram): Promise<string | 'missing' | 'unknown'> {
  const { argv, answer } = questions[program];
  try {
    const { stdout, stderr } = await run(argv, { timeoutMs: 10_000 });
    return answer.exec(`${stdout.toString('utf8')}${stderr}`)?.[1] ?? 'unknown';
  } catch (error) {
    if (error instanceof ProgramError && error.notFound) return 'missing';
    throw error;
  }
}

/** True when a version is older than another: "3.2.7" than "3.5". */
export function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  for (let index = 0; index < Math.max(a?.length ?? 0, b?.length ?? 0); index += 1) {
    const difference = (a?.[index] ?? 0) - (b?.[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
