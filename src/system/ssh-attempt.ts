import { run } from './run.ts';

const anyExit = Array.from({ length: 256 }, (_, code) => code);

/** Runs ssh once, on a connection of its own, and tells how it ended, whatever that is. */
export async function attemptSsh(
  base: readonly string[],
  host: string,
  { options, command, input = '' }: { options: readonly string[]; command?: string; input?: string },
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const own = ['-o', 'BatchMode=yes', '-o', 'ControlMaster=no', '-o', 'ControlPath=none', '-o', 'ConnectTimeout=30'];
  const argv = ['ssh', ...base, ...own, ...options, '--', host, ...(command === undefined ? [] : [command])] as const;
  const { exitCode, stdout, stderr } = await run([...argv], { input, accept: anyExit, timeoutMs: 120_000 });
  return { exitCode, stdout: stdout.toString('utf8'), stderr };
}
