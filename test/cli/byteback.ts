import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/system/run.ts';

export const bin = join(import.meta.dirname, '../../bin');

/** What a command left behind. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Runs a real executable of bin/, on the build that the tests begin with. `words` starts with its name. */
export async function byteback(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const [program = 'byteback', ...args] = words;
  const { stdout, stderr, exitCode } = await run([join(bin, program), ...args], {
    env,
    accept: Array.from({ length: 256 }, (_, code) => code),
    timeoutMs: 15_000,
  });
  return { stdout: stdout.toString('utf8'), stderr, exitCode };
}

/** A directory that is gone at the end of the block. */
export async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'byteback-cli-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
